# masks_predicted.gp - KL of whole models over what forms of their errors say: sums over layers, and all layers in one
width = 6.5
height = 3.4
if (!exists("scripts")) scripts = "plots"
load scripts."/style.gp"
call scripts."/first.gp" "masks"

forms = "linear square joint"
array meaning[3] = ["Σ a^{G} t²", "Σ ⟨G,E⟩²/2T", "⟨ΣG,E⟩²/2T"]
low = 1e300; high = 0; least = 1e300; most = 0; sides = 1
array heading[2]
drawn(k) = chosen(0) && column("kl") > 0 && column("side") > 0
bar(y) = or_else(1.96 * column(y."_se"), 0)
x_low(form) = max(start, column(form) - bar(form))
x_high(form) = min(end, column(form) + bar(form))
reach(form) = column(form) > 0 ? (least = min(least, column(form)), most = max(most, column(form))) : 0
span(x) = (low = min(low, column("kl")), high = max(high, column("kl")), sides = max(sides, column("side")), heading[int(column("side"))] = strcol("text"), \
    reach("linear"), reach("square"), reach("joint"), 0)
stats table("masks") using (drawn(0) ? span(0) : 0, 1) nooutput
array colour[3] = [blue, green, vermilion]
array marker[3] = [7, 9, 5]
of(s, form) = drawn(0) && column("side") == s && column(form) > 0 ? column(form) : NaN
set label 1 note."gradients of the text that is measured; bars: ±1.96 standard errors over windows or items" at screen 0.985, 0.97 right font ",8" textcolor rgb grey noenhanced
set multiplot
set tmargin screen 0.86
set bmargin screen 0.15
from = low / 1.4
to = high * 1.4
start = min(least / 1.4, from)
end = max(most * 1.4, to)
call scripts."/log_axis.gp" "x" start end
call scripts."/log_axis.gp" "y" from to
right = 0.81
panel = (right - 0.10) / sides
do for [s = 1:sides] {
    set lmargin screen 0.10 + (s - 1) * panel + (s > 1 ? 0.035 : 0)
    set rmargin screen 0.10 + s * panel
    set title heading[s] offset 0, -0.6 font ",9" noenhanced
    set ylabel (s > 1 ? "" : "measured KL  [nats/token]") offset 0.5, 0
    if (s > 1) { set format y ""; unset label 1 }
    set xlabel "predicted KL  [nats/token]"
    if (s == sides) { set key at screen right + 0.015, 0.84 left top Left reverse } else { unset key }
    plot x with lines linecolor rgb black linewidth 0.75 title "as predicted", \
        for [f = 1:3] table("masks") using (of(s, word(forms, f))):(column("kl")):(x_low(word(forms, f))):(x_high(word(forms, f))):(max(from, column("kl") - bar("kl"))):(column("kl") + bar("kl")) \
            with xyerrorbars pointsize 0 linewidth 0.5 linecolor rgb colour[f], \
        for [f = 1:3] table("masks") using (of(s, word(forms, f))):(column("kl")) with points pointtype marker[f] linecolor rgb colour[f], \
        for [f = 1:3] NaN with points pointtype marker[f] linecolor rgb colour[f] title meaning[f]
}
unset multiplot
