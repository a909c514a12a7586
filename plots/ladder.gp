# ladder.gp - noise of one size in all layers: KL over what the law adds up to, against t^2
#
# On the line at 1 the losses of single layers add up to that of the model.  Curves: what slopes measured with the
# noise in place predict, from one of them (trapezoid) and from all smaller levels (ladder).
width = 5.2
height = 3.9
if (!exists("scripts")) scripts = "plots"
load scripts."/style.gp"
call scripts."/first.gp" "ladder"

is_level(x) = chosen(0) && column("predicted_linear") > 0 && column("kl") > 0
over_law(name) = column(name) / column("predicted_linear")
bar(x) = or_else(1.96 * column("ratio_linear_se"), 0)
clear(x) = column("near_floor") != 1

t2_low = 1e300; t2_high = 0; least = 1; most = 1
meet(y) = y == y ? (least = min(least, y), most = max(most, y)) : 0
span(t2) = (t2_low = min(t2_low, t2), t2_high = max(t2_high, t2))
stats table("ladder") using (is_level(0) ? (span(column("t2")), meet(over_law("predicted_trapezoid")), meet(over_law("predicted_ladder")), \
    meet(column("ratio_linear")), clear(0) ? (meet(column("ratio_linear") + bar(0)), meet(column("ratio_linear") - bar(0))) : 0) : 0, 1) nooutput

margin = max(0.06 * (most - least), 0.01)
call scripts."/log_axis.gp" "x" (t2_low / 1.5) (t2_high * 1.5)
set yrange [least - margin:most + 5 * margin]
set ytics step(most - least + 6 * margin, 7)
set xlabel "relative squared error t² in every layer"
set ylabel "KL / {/Symbol S} a t²" offset 0.5, 0
set label 1 note."bars: ±1.96 standard errors, open near the noise floor" at screen 0.97, (words(swept) > 0 ? 0.975 : 0.965) right font ",8" textcolor rgb grey noenhanced
set tmargin (words(swept) > 0 ? 4 : 2.5)
set key top left Left reverse
plot 1 with lines linecolor rgb black linewidth 0.75 title "linear law", \
    table("ladder") using (is_level(0) ? column("t2") : NaN):(over_law("predicted_trapezoid")) with linespoints pointtype 2 pointsize 0.5 dashtype 2 linewidth 1 \
        linecolor rgb orange title "one slope at the point (trapezoid)", \
    table("ladder") using (is_level(0) ? column("t2") : NaN):(over_law("predicted_ladder")) with linespoints pointtype 1 pointsize 0.5 linewidth 1.2 \
        linecolor rgb green title "slopes at all levels (ladder)", \
    table("ladder") using (is_level(0) && clear(0) ? column("t2") : NaN):(column("ratio_linear")):(bar(0)) with yerrorbars pointsize 0 linecolor rgb blue, \
    table("ladder") using (is_level(0) && clear(0) ? column("t2") : NaN):(column("ratio_linear")) with points pointtype 7 linecolor rgb blue title "measured", \
    table("ladder") using (is_level(0) && !clear(0) ? column("t2") : NaN):(column("ratio_linear")) with points pointtype 6 linecolor rgb blue
