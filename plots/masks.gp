# masks.gp - whole models over bits, a line for each method (and width, where weights are kept), a panel for each text: kept weights against plain quantizers and allocations
width = 6.5
height = 3.6
if (!exists("scripts")) scripts = "plots"
load scripts."/style.gp"
call scripts."/first.gp" "masks"
wanted(k) = 1
load scripts."/mask_series.gp"

bits_low = 1e300; bits_high = 0
do for [j = 1:rows] { bits_low = min(bits_low, row_bits[j]); bits_high = max(bits_high, row_bits[j]) }
edges = max(0.1, 0.06 * (bits_high - bits_low))
set xrange [bits_low - edges:bits_high + edges]
set xtics step(bits_high - bits_low + 2 * edges, sides > 1 ? 5 : 9)
set label 1 note."bars: ±1.96 standard errors over windows or items; lines: what no smaller model of the kind beats" at screen 0.985, 0.97 right font ",8" textcolor rgb grey noenhanced
set multiplot
set tmargin screen 0.86
set bmargin screen 0.15
bottom = low / 1.3
top = high * 1.3
call scripts."/log_axis.gp" "y" bottom top
right = 0.73
panel = (right - 0.10) / sides
do for [s = 1:sides] {
    set lmargin screen 0.10 + (s - 1) * panel + (s > 1 ? 0.015 : 0)
    set rmargin screen 0.10 + s * panel
    set title heading[s] offset 0, -0.6 font ",9" noenhanced
    set ylabel (s > 1 ? "" : "KL(clean ‖ quantized)  [nats/token]") offset 0.5, 0
    if (s > 1) { set format y ""; unset label 1 }
    set xlabel "bits per weight, all counted"
    if (s == sides) { set key at screen right + 0.01, 0.87 left top Left reverse noenhanced samplen 1 spacing 1.0 font ",8" } else { unset key }
    plot for [i = 1:n] table("masks") using (front(i, s, column("bits"))):(column("kl")) smooth unique with lines linewidth thick[i] linecolor rgb tone[i], \
        for [i = 1:n] table("masks") using (of(i, s, column("bits"))):(column("kl")):(max(bottom, column("kl") - bar("kl"))):(column("kl") + bar("kl")) \
            with yerrorbars pointsize 0 linecolor rgb tone[i], \
        for [i = 1:n] table("masks") using (of(i, s, column("bits"))):(column("kl")) with points pointtype mark[i] linecolor rgb tone[i], \
        for [i = 1:n] NaN with points pointtype mark[i] linecolor rgb tone[i] title title_of[i]
}
unset multiplot
