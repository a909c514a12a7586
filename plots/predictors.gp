# predictors.gp - one layer quantized at a time: measured KL over each prediction, geometric mean over layers and its spread
#
# A row per choice; point: geometric mean, thick bar: its 95 % interval, thin bar: one standard deviation of a single layer.
if (!exists("scripts")) scripts = "plots"
width = 6.5
height = 3
rows = 0
if (!exists("data")) data = "."
load scripts."/style.gp"
call scripts."/first.gp" "predictors"

n = 0; least = 0.7; most = 1.4
array name[64]
known(label) = (sum [i = 1:n] (name[i] eq label)) > 0
add(label) = known(label) ? 0 : (n = n + 1, name[n] = label, 0)
place(label) = sum [i = 1:n] (name[i] eq label ? n - i : 0)
plus(k) = chosen(0) && strcol("sign") eq "plus" && column("ratio") > 0
inside(y) = max(0.2, min(5, y))
factor(k) = exp(or_else(column("sd"), 0))
stats table("predictors") using (plus(0) ? (add(strcol("choice")), least = min(least, inside(column("ratio") / factor(0))), most = max(most, inside(column("ratio") * factor(0)))) : 0, 1) nooutput

height = max(2.2, 0.95 + 0.17 * n)
if (terminal eq "svg") set terminal svg size 96*width,96*height
if (terminal eq "png") set terminal pngcairo size 300*width,300*height
if (terminal eq "pdf") set terminal pdfcairo size width,height
set output output.".".terminal

predictors = "sigma group kronecker shrinkage square"
array heading[5] = ["a t²", "a^{G} t²", "a K (Kronecker)", "with shrinkage", "⟨G, E⟩² / 2T"]
array colour[5] = [sky, blue, vermilion, orange, green]
of(k) = plus(0) && strcol("predictor") eq word(predictors, k) ? inside(column("ratio")) : NaN
half(k) = 1.96 * or_else(column("ratio_se"), 0)
set yrange [-0.7:n - 0.3]
set logscale x 2
set xrange [least / 1.1:most * 1.1]
set xtics (0.2, 0.5, 1, 2, 5) font ",7"
set format x "%g"
set label 1 note."point: geometric mean over layers; thick: its 95 % interval; thin: one standard deviation of a layer" at screen 0.985, 1 - 0.13 / height right font ",8" textcolor rgb grey noenhanced
set label 2 "measured / predicted KL of one layer" at screen 0.61, 0.14 / height center
left = 0.25; gap = 0.012; span = (0.985 - left + gap) / 5
set tmargin screen 1 - 0.42 / height
set bmargin screen 0.42 / height
set multiplot
do for [k = 1:5] {
    set lmargin screen left + (k - 1) * span
    set rmargin screen left + k * span - gap
    set title heading[k] offset 0, -0.7
    set ytics () font ",7" noenhanced
    do for [i = 1:n] { set ytics add ((k == 1 ? name[i] : "") n - i) }
    set arrow 1 from 1, graph 0 to 1, graph 1 nohead linecolor rgb black linewidth 0.75
    plot table("predictors") using (of(k)):(place(strcol("choice"))):(inside(column("ratio") / factor(0))):(inside(column("ratio") * factor(0))) with xerrorbars pointsize 0 linecolor rgb colour[k], \
        table("predictors") using (of(k)):(place(strcol("choice"))):(inside(column("ratio") - half(0))):(inside(column("ratio") + half(0))) with xerrorbars pointsize 0 linewidth 3 linecolor rgb colour[k], \
        table("predictors") using (of(k)):(place(strcol("choice"))) with points pointtype 7 pointsize 0.4 linecolor rgb colour[k]
    unset label
}
unset multiplot
