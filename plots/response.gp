# response.gp - the response of single layers to noise: KL / t^2 against t^2, one panel per layer
#
# A flat line is the linearity theorem, KL = a t^2; the line drawn is the fitted a + b t^2.  Up to
# twelve layers, evenly spread over those that were measured at several levels.
width = 6.5
height = 5.2
if (!exists("scripts")) scripts = "plots"
load scripts."/style.gp"
call scripts."/first.gp" "responses"

# The layers, those with several levels, and the span of t^2.
layers = " "; several = " "; seen = " "
t2_low = 1e300; t2_high = 0
meet(layer, level) = (strstrt(seen, " ".layer."@".level." ") ? 0 : (seen = seen.layer."@".level." ", \
    strstrt(layers, " ".layer." ") == 0 ? (layers = layers.layer." ", 0) : \
    strstrt(several, " ".layer." ") ? 0 : (several = several.layer." ", 0)))
span(t2) = t2 > 0 ? (t2_low = min(t2, t2_low), t2_high = max(t2, t2_high), 0) : 0
stats table("responses") using (chosen(0) && column("kl") == column("kl") ? (meet(strcol("layer"), strcol("t2_asked")), span(column("t2"))) : 0, 1) nooutput
shown = words(several) > 0 ? several : layers
panels = min(12, words(shown))
pick(i) = word(shown, panels == 1 ? 1 : 1 + floor((i - 1.) * (words(shown) - 1) / (panels - 1) + 0.5))

# What each panel needs: its title, its height, and the fitted line.
array title[panels]; array top[panels]; array bottom[panels]; array a[panels]; array b[panels]
do for [i = 1:panels] { title[i] = ""; top[i] = 0; bottom[i] = 0; a[i] = NaN; b[i] = NaN }
mine(i) = strcol("layer") eq pick(i) && chosen(0)
bar(t2) = 1.96 * column("kl_se") / t2
slope(t2) = column("kl") / t2
reach(i, high, low) = (top[i] = max(top[i], or_else(high, top[i])), bottom[i] = min(bottom[i], or_else(low, bottom[i])))
name(i) = (title[i] = "block ".strcol("block").", ".strcol("type"))
look(i, y, bar) = (name(i), reach(i, y, y), column("near_floor") == 1 ? 0 : reach(i, y + bar, y - bar))
fit(i) = (a[i] = column("alpha"), b[i] = or_else(column("b"), 0.), reach(i, a[i], a[i]))
do for [i = 1:panels] {
    stats table("responses") using (mine(i) ? look(i, slope(column("t2")), bar(column("t2"))) : 0, 1) nooutput
}
call scripts."/first.gp" "coefficients"
do for [i = 1:panels] {
    stats table("coefficients") using (mine(i) && strcol("estimator") eq "kl" ? fit(i) : 0, 1) nooutput
}
call scripts."/first.gp" "responses"

columns = panels <= 3 ? panels : panels == 4 ? 2 : panels <= 6 || panels == 9 ? 3 : 4
lines = ceil(panels / (1. * columns))
set label 1 "relative squared error t²" at screen 0.53, 0.02 center
set label 2 "KL / t²  [nats/token]" at screen 0.016, 0.5 center rotate
set label 3 note.sprintf("%d of %d layers; bars ±1.96 standard errors, open near the noise floor; line: fitted a + b t²", panels, words(layers)) \
    at screen 0.1, 0.98 left font ",8" textcolor rgb grey noenhanced
call scripts."/log_axis.gp" "x" (t2_low / 1.6) (t2_high * 1.6)
set samples 200
set multiplot layout lines, columns margins screen 0.1, 0.985, 0.095, (words(swept) > 0 ? 0.9 : 0.92) spacing screen (columns == 4 ? 0.065 : 0.085), screen 0.085
do for [i = 1:panels] {
    set title title[i] offset 0, -0.8
    set yrange [1.1 * bottom[i]:1.12 * top[i]]
    set ytics step(top[i] - bottom[i], 4)
    plot a[i] + b[i] * x with lines linecolor rgb vermilion linewidth 1.2, \
        table("responses") using (mine(i) && column("kl_se") >= 0 ? column("t2") : NaN):(slope(column("t2"))):(bar(column("t2"))) with yerrorbars pointsize 0 linecolor rgb blue, \
        table("responses") using (mine(i) && column("near_floor") != 1 ? column("t2") : NaN):(slope(column("t2"))) with points pointtype 7 linecolor rgb blue, \
        table("responses") using (mine(i) && column("near_floor") == 1 ? column("t2") : NaN):(slope(column("t2"))) with points pointtype 6 linecolor rgb blue
    unset label
}
unset multiplot
