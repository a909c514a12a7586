# quantizers.gp - each quantizer in all layers: KL over total bits per weight, and below what the law makes of it
width = 6.5
height = 4.6
if (!exists("scripts")) scripts = "plots"
load scripts."/style.gp"
call scripts."/first.gp" "quantizers"

n = 0; low = 1e300; high = 0; least = 0.8; most = 1.25; bits_low = 1e300; bits_high = 0
array name[32]
known(label) = (sum [i = 1:n] (name[i] eq label)) > 0
add(label) = known(label) ? 0 : (n = n + 1, name[n] = label, 0)
drawn(k) = chosen(0) && column("kl") > 0 && column("bits") > 0
clear(x) = column("near_floor") != 1
bar(y) = or_else(1.96 * column(y."_se"), 0)
inside(y) = max(0.25, min(4, y))
span(x) = (low = min(low, column("kl")), high = max(high, column("kl")), bits_low = min(bits_low, column("bits")), bits_high = max(bits_high, column("bits")), \
    column("ratio") > 0 ? (least = min(least, inside(column("ratio"))), most = max(most, inside(column("ratio")))) : 0)
stats table("quantizers") using (drawn(0) ? (add(strcol("method")), span(0)) : 0, 1) nooutput

array colour[8] = [vermilion, blue, green, orange, purple, sky, black, grey]
array marker[8] = [7, 5, 9, 11, 13, 7, 5, 9]
of(method, x) = drawn(0) && strcol("method") eq name[method] ? x : NaN
tone(i) = colour[(i - 1) % 8 + 1]
mark(i) = marker[(i - 1) % 8 + 1] - (i > 8 ? 1 : 0)
edges = max(0.2, 0.06 * (bits_high - bits_low))
set xrange [bits_low - edges:bits_high + edges]
set xtics step(bits_high - bits_low + 2 * edges, 9)
set label 1 note."bars: ±1.96 standard errors over windows" at screen 0.985, 0.975 right font ",8" textcolor rgb grey noenhanced
low = low / 1.6
high = high * 1.6
set multiplot
set lmargin screen 0.11
set rmargin screen 0.80
set tmargin screen (words(swept) > 0 ? 0.90 : 0.945)
set bmargin screen 0.40
set format x ""
call scripts."/log_axis.gp" "y" low high
set ylabel "KL(clean ‖ quantized)  [nats/token]" offset 0.5, 0
set key at screen 0.815, 0.93 left top Left reverse noenhanced
plot for [i = 1:n] table("quantizers") using (of(i, column("bits"))):(column("kl")):(max(low, column("kl") - bar("kl"))):(column("kl") + bar("kl")) with yerrorbars pointsize 0 linecolor rgb tone(i), \
    for [i = 1:n] table("quantizers") using (of(i, column("bits"))):(column("kl")) with points pointtype mark(i) linecolor rgb tone(i), \
    for [i = 1:n] NaN with points pointtype mark(i) linecolor rgb tone(i) title name[i]
unset key
unset label 1
unset logscale y
unset mytics
set format x "%g"
set tmargin screen 0.37
set bmargin screen 0.12
least = least / 1.1
most = most * 1.1
set logscale y 2
set yrange [least:most]
set format y "%g"
if (most / least < 2) { set ytics (0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.4) } else { set ytics (0.25, 0.35, 0.5, 0.7, 1, 1.4, 2, 2.8, 4) }
set ylabel "measured / Σ a t²" offset 0.5, 0
set xlabel "average bits per weight, scales and zero points counted"
plot 1 with lines linecolor rgb black linewidth 0.75, \
    for [i = 1:n] table("quantizers") using (of(i, column("bits"))):(inside(column("ratio"))):(inside(max(1e-9, column("ratio") - bar("ratio")))):(inside(column("ratio") + bar("ratio"))) \
        with yerrorbars pointsize 0 linecolor rgb tone(i), \
    for [i = 1:n] table("quantizers") using (of(i, column("bits"))):(inside(column("ratio"))) with points pointtype mark(i) linecolor rgb tone(i)
unset multiplot
