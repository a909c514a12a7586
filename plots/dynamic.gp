# dynamic.gp - allocated models against uniform ones and simple rules: KL over bits per weight, and below the gain over uniform models of the same size
width = 6.5
height = 4.9
if (!exists("scripts")) scripts = "plots"
load scripts."/style.gp"
call scripts."/first.gp" "models"

# The allocations that differ in what they minimise have a colour each, rules grey marks.
n = 0; low = 1e300; high = 0; bits_low = 1e300; bits_high = 0; gain_low = 0; gain_high = 0; budget_low = 1e300; budget_high = 0
array name[16]
rules = "ends types greedy threshold"
rule_marker(rule) = rule eq "ends" ? 1 : rule eq "types" ? 2 : rule eq "greedy" ? 6 : 8
known(label) = (sum [i = 1:n] (name[i] eq label)) > 0
add(label) = known(label) ? 0 : (n = n + 1, name[n] = label, 0)
drawn(model) = chosen(0) && column("kl") > 0 && column("bits") > 0 && strcol("model") eq model
bar(y) = or_else(1.96 * column(y."_se"), 0)
meet(x) = x > 0 ? (low = min(low, x), high = max(high, x)) : 0
reach(x) = (bits_low = min(bits_low, x), bits_high = max(bits_high, x))
stats table("models") using (drawn("allocated") ? (add(strcol("label")), reach(column("bits")), meet(column("kl")), meet(column("predicted")), \
    gain_low = min(gain_low, column("gain") - bar("gain")), gain_high = max(gain_high, column("gain") + bar("gain")), gain_high = max(gain_high, or_else(column("predicted_gain"), 0)), 0) : 0, 1) nooutput
edges = max(0.15, 0.08 * (bits_high - bits_low))
near(x) = x >= bits_low - edges && x <= bits_high + edges
there = ""
do for [rule in rules] {
    found = 0
    stats table("models") using (drawn(rule) && near(column("bits")) ? (found = 1, meet(column("kl")), gain_low = min(gain_low, max(-1, or_else(column("gain"), 0))), 0) : 0, 1) nooutput
    if (found) { there = there." ".rule }
}
stats table("models") using (drawn("uniform") && near(column("bits")) ? meet(column("kl")) : 0, 1) nooutput
low = low / 1.4
high = high * 1.4

array colour[6] = [blue, vermilion, green, purple, orange, sky]
array marker[6] = [7, 5, 9, 11, 13, 7]
tone(i) = colour[(i - 1) % 6 + 1]
mark(i) = marker[(i - 1) % 6 + 1]
of(i, x) = drawn("allocated") && strcol("label") eq name[i] ? x : NaN
by(rule, x) = drawn(rule) && near(column("bits")) ? x : NaN
shift(i) = (i - (n + 1) / 2.) * 0.012 * (bits_high - bits_low)
set xrange [bits_low - edges:bits_high + edges]
set xtics step(bits_high - bits_low + 2 * edges, 9)
set label 1 note."bars: ±1.96 standard errors over windows" at screen 0.985, 0.975 right font ",8" textcolor rgb grey noenhanced
set multiplot
set lmargin screen 0.11
set rmargin screen 0.75
set tmargin screen (words(swept) > 0 ? 0.90 : 0.945)
set bmargin screen 0.44
set format x ""
call scripts."/log_axis.gp" "y" low high
set ylabel "KL(clean ‖ quantized)  [nats/token]" offset 0.5, 0
set key at screen 0.765, 0.93 left top Left reverse noenhanced
band = 0xCFE3F1
top(x) = min(high, column("predicted_high"))
bottom(x) = max(low, column("predicted_low"))
plot table("models") using (of(1, column("bits"))):(bottom(0)):(0):(top(0) - bottom(0)) with vectors nohead linewidth 6 linecolor rgb band, \
    table("models") using (drawn("uniform") ? column("bits") : NaN):(column("kl")):(max(low, column("kl") - bar("kl"))):(column("kl") + bar("kl")) with yerrorbars pointtype 4 linecolor rgb black, \
    NaN with points pointtype 4 linecolor rgb black title "uniform", \
    for [k = 1:words(there)] table("models") using (by(word(there, k), column("bits"))):(column("kl")) with points pointtype rule_marker(word(there, k)) linecolor rgb grey, \
    for [k = 1:words(there)] NaN with points pointtype rule_marker(word(there, k)) linecolor rgb grey title "rule: ".word(there, k), \
    for [i = 1:n] table("models") using (of(i, column("bits"))):(column("predicted")) smooth unique with lines dashtype 2 linewidth 0.75 linecolor rgb tone(i), \
    for [i = 1:n] table("models") using (of(i, column("bits")) + shift(i)):(column("kl")):(max(low, column("kl") - bar("kl"))):(column("kl") + bar("kl")) with yerrorbars pointtype mark(i) linecolor rgb tone(i), \
    for [i = 1:n] NaN with points pointtype mark(i) linecolor rgb tone(i) title "by ".name[i], \
    NaN with lines dashtype 2 linewidth 0.75 linecolor rgb black title "predicted", \
    NaN with lines linewidth 6 linecolor rgb band title "95 % (by ".name[1].")"
unset key
unset label 1
unset logscale y
unset mytics
set format x "%g"
set format y "%g"
set tmargin screen 0.41
set bmargin screen 0.115
set yrange [100 * gain_low - 5:100 * gain_high + 5]
set ytics step(100 * (gain_high - gain_low) + 10, 6)
set ylabel "KL below uniform  [%]" offset 0.5, 0
set xlabel "average bits per weight, scales and zero points counted"
plot 0 with lines linecolor rgb black linewidth 0.75, \
    for [k = 1:words(there)] table("models") using (by(word(there, k), column("bits"))):(100 * column("gain")) with points pointtype rule_marker(word(there, k)) linecolor rgb grey, \
    for [i = 1:n] table("models") using (of(i, column("bits"))):(100 * column("predicted_gain")) smooth unique with lines dashtype 2 linewidth 0.75 linecolor rgb tone(i), \
    for [i = 1:n] table("models") using (of(i, column("bits")) + shift(i)):(100 * column("gain")):(100 * bar("gain")) with yerrorbars pointtype mark(i) linecolor rgb tone(i)
unset multiplot
