# masks.gp - whole models over bits, a line for each method (and width, where weights are kept), a panel for each text: kept weights against plain quantizers and allocations
width = 6.5
height = 3.4
if (!exists("scripts")) scripts = "plots"
load scripts."/style.gp"
call scripts."/first.gp" "masks"

n = 0; low = 1e300; high = 0; bits_low = 1e300; bits_high = 0; sides = 1
array name[24]
array heading[2]
series(k) = column("ratio") > 0 ? strcol("method").sprintf(", %g bits", column("code_bits")) : strcol("method")
known(label) = (sum [i = 1:n] (name[i] eq label)) > 0
add(label) = known(label) ? 0 : (n = n + 1, name[n] = label, 0)
drawn(k) = chosen(0) && column("kl") > 0 && column("bits") > 0
bar(y) = or_else(1.96 * column(y."_se"), 0)
span(x) = (low = min(low, column("kl")), high = max(high, column("kl")), bits_low = min(bits_low, column("bits")), bits_high = max(bits_high, column("bits")), \
    sides = max(sides, column("side")), heading[int(column("side"))] = strcol("text"), 0)
stats table("masks") using (drawn(0) ? (add(series(0)), span(0)) : 0, 1) nooutput

# A colour for each method, so that its widths and scores are seen to belong together, and a marker for each series; allocations in black.
array colour[7] = [blue, vermilion, green, orange, purple, sky, grey]
array marker[12] = [7, 5, 9, 11, 13, 15, 4, 8, 6, 10, 12, 14]
array method[24]
m = 0
method_of(label) = label eq "allocated" ? "" : strstrt(label, "tacq") == 1 ? "tacq" : word(label, 1)
place(what) = m == 0 ? 0 : (sum [j = 1:m] (method[j] eq what ? j : 0))
do for [i = 1:n] { what = method_of(name[i]); if (what ne "" && place(what) == 0) { m = m + 1; method[m] = what } }
of(i, s, x) = drawn(0) && series(0) eq name[i] && column("side") == s ? x : NaN
tone(i) = name[i] eq "allocated" ? black : colour[(place(method_of(name[i])) - 1) % 7 + 1]
mark(i) = name[i] eq "allocated" ? 2 : marker[(i - 1) % 12 + 1]
thick(i) = name[i] eq "allocated" ? 1.5 : 0.75
edges = max(0.1, 0.06 * (bits_high - bits_low))
set xrange [bits_low - edges:bits_high + edges]
set xtics step(bits_high - bits_low + 2 * edges, sides > 1 ? 5 : 9)
set label 1 note."bars: ±1.96 standard errors over windows or items" at screen 0.985, 0.97 right font ",8" textcolor rgb grey noenhanced
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
    if (s == sides) { set key at screen right + 0.015, 0.84 left top Left reverse noenhanced } else { unset key }
    plot for [i = 1:n] table("masks") using (of(i, s, column("bits"))):(column("kl")) smooth unique with lines linewidth thick(i) linecolor rgb tone(i), \
        for [i = 1:n] table("masks") using (of(i, s, column("bits"))):(column("kl")):(max(bottom, column("kl") - bar("kl"))):(column("kl") + bar("kl")) \
            with yerrorbars pointsize 0 linecolor rgb tone(i), \
        for [i = 1:n] table("masks") using (of(i, s, column("bits"))):(column("kl")) with points pointtype mark(i) linecolor rgb tone(i), \
        for [i = 1:n] NaN with points pointtype mark(i) linecolor rgb tone(i) title name[i]
}
unset multiplot
