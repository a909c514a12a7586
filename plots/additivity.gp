# additivity.gp - quantized models, and noise in their place: measured KL over what each rule predicts
width = 6.2
height = 3.7
if (!exists("scripts")) scripts = "plots"
load scripts."/style.gp"
call scripts."/first.gp" "additivity"

laws = "quantizer noise"
rules = "linear trapezoid ladder"
array colour[3] = [vermilion, orange, green]
array marker[3] = [7, 9, 5]
is(law) = chosen(0) && strcol("law") eq law && column("bits") > 0
ratio(rule) = column("ratio_".rule)
bar(rule) = or_else(1.96 * column("ratio_".rule."_se"), 0)
clear(x) = column("near_floor") != 1

low = 1; high = 1; bits_low = 1e300; bits_high = 0
meet(y) = y == y ? (low = min(low, y), high = max(high, y)) : 0
# A bar may not stretch the axis by more than a quarter of what the points span, or of 1.
least = 1e300; most = -1e300
end(y) = y == y ? (least = min(least, y), most = max(most, y)) : 0
reach(bits) = (bits_low = min(bits_low, bits), bits_high = max(bits_high, bits))
do for [law in laws] {
    do for [rule in rules] {
        stats table("additivity") using (is(law) ? (reach(column("bits")), meet(ratio(rule)), clear(0) ? (end(ratio(rule) + bar(rule)), end(ratio(rule) - bar(rule))) : 0) : 0, 1) nooutput
    }
}
stretch = 0.25 * max(1, high - low)
low = max(min(low, least), low - stretch)
high = min(max(high, most), high + stretch)
margin = max(0.06 * (high - low), 0.01)
aside = max(0.03, 0.022 * (bits_high - bits_low))        # the rules of one choice stand side by side
edges = max(0.3, 0.12 * (bits_high - bits_low))
position(law, k) = is(law) ? column("bits") + aside * (k - 2) : NaN

set xrange [bits_low - edges:bits_high + edges]
set xtics step(bits_high - bits_low + 2 * edges, 6)
set yrange [low - margin:high + margin]
set ytics step(high - low + 2 * margin, 7)
set label 1 note."bars: ±1.96 standard errors; open: near the noise floor" at screen 0.98, (words(swept) > 0 ? 0.975 : 0.965) right font ",8" textcolor rgb grey noenhanced
set label 2 "average bits per weight" at screen 0.545, 0.03 center
set multiplot layout 1, 2 margins screen 0.11, 0.98, 0.15, (words(swept) > 0 ? 0.82 : 0.86) spacing screen 0.03, screen 0
do for [panel = 1:2] {
    law = word(laws, panel)
    set title (panel == 1 ? "the quantizer's own error" : "noise of the same t² in each layer") offset 0, -0.7
    if (panel == 1) { set ylabel "measured / predicted KL" offset 0.5, 0; set key top right Left reverse } else { unset ylabel; set format y ""; unset key }
    plot 1 with lines linecolor rgb black linewidth 0.75, \
        for [k = 1:3] table("additivity") using (clear(0) ? position(law, k) : NaN):(ratio(word(rules, k))):(bar(word(rules, k))) \
            with yerrorbars pointsize 0 linecolor rgb colour[k], \
        for [k = 1:3] table("additivity") using (clear(0) ? position(law, k) : NaN):(ratio(word(rules, k))) with points pointtype marker[k] linecolor rgb colour[k], \
        for [k = 1:3] table("additivity") using (clear(0) ? NaN : position(law, k)):(ratio(word(rules, k))) with points pointtype marker[k] - 1 linecolor rgb colour[k], \
        for [k = 1:3] NaN with points pointtype marker[k] linecolor rgb colour[k] title word(rules, k)
    unset label
}
unset multiplot
