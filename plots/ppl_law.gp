# ppl_law.gp - perplexity of quantized models against average bits, and what the law says on two scales
#
# S = sum a t^2 is a loss; PPL0 (1 + c S) is the paper's law, PPL0 exp(c S) the same law for the NLL.  The third
# curve takes S from the ladder of slopes, so that only the scale is left to be wrong.
width = 5.2
height = 3.9
if (!exists("scripts")) scripts = "plots"
load scripts."/style.gp"
call scripts."/first.gp" "additivity"

is_model(x) = chosen(0) && strcol("law") eq "quantizer" && column("bits") > 0 && column("ppl") > 0
curves = "ppl_linear ppl_exponential ppl_ladder"
array name[3] = ["PPL_0 (1 + c S), the paper's law", "PPL_0 exp(c S)", "PPL_0 exp(c S), S from the ladder"]
array colour[3] = [vermilion, orange, green]
array dash[3] = [1, 2, 1]
array marker[3] = [8, 10, 4]

low = 1e300; high = 0; bits_low = 1e300; bits_high = 0; clean = 0
meet(y) = y > 0 ? (low = min(low, y), high = max(high, y)) : 0
reach(bits) = (bits_low = min(bits_low, bits), bits_high = max(bits_high, bits))
# What all have of the text cancels: the error is that of the difference to the clean model.
bar(sign) = column("ppl") * exp(sign * or_else(1.96 * column("delta_nll_se"), 0))
stats table("additivity") using (is_model(0) ? (reach(column("bits")), clean = column("clean_ppl"), meet(clean), meet(column("ppl")), meet(column("ppl_linear")), \
    meet(column("ppl_exponential")), meet(column("ppl_ladder"))) : 0, 1) nooutput
from = low / 1.5
to = high * 1.6
edges = max(0.2, 0.06 * (bits_high - bits_low))

set xrange [bits_low - edges:bits_high + edges]
set xtics step(bits_high - bits_low + 2 * edges, 8)
call scripts."/log_axis.gp" "y" from to
set xlabel "average bits per weight"
set ylabel "perplexity" offset 0.5, 0
set label 1 note."bars: ±1.96 standard errors of the difference to the clean model (dotted)" at screen 0.97, (words(swept) > 0 ? 0.975 : 0.965) right font ",8" textcolor rgb grey noenhanced
set tmargin (words(swept) > 0 ? 4 : 2.5)
set key top right Left reverse
plot clean with lines dashtype 3 linewidth 1 linecolor rgb grey, \
    for [k = 1:3] table("additivity") using (is_model(0) ? column("bits") : NaN):(column(word(curves, k))) smooth unique with lines dashtype dash[k] linewidth 0.9 linecolor rgb colour[k], \
    for [k = 1:3] table("additivity") using (is_model(0) ? column("bits") : NaN):(column(word(curves, k))) with points pointtype marker[k] linecolor rgb colour[k], \
    for [k = 1:3] NaN with linespoints dashtype dash[k] pointtype marker[k] linecolor rgb colour[k] title name[k], \
    table("additivity") using (is_model(0) ? column("bits") : NaN):(column("ppl")):(edge(bar(-1), from)):(bar(1)) \
        with yerrorbars pointsize 0 linecolor rgb blue, \
    table("additivity") using (is_model(0) ? column("bits") : NaN):(column("ppl")) with points pointtype 7 linecolor rgb blue title "measured"
