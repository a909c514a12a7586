# lsaq_predicted.gp - what the law predicts of every plan against what was measured
width = 5.2
height = 3.9
if (!exists("scripts")) scripts = "plots"
load scripts."/style.gp"
call scripts."/first.gp" "plans"
load scripts."/lsaq_rules.gp"

low = 1e300; high = 0
meet(x) = x > 0 ? (low = min(low, x), high = max(high, x)) : 0
stats table("plans") using (drawn(0) && of_first_cost(0) ? (meet(column("kl")), meet(column("predicted"))) : 0, 1) nooutput
low = low / 1.4
high = high * 1.4
of(r, x) = drawn(0) && of_first_cost(0) && strcol("rule") eq rule[r] ? x : NaN
call scripts."/log_axis.gp" "x" low high
call scripts."/log_axis.gp" "y" low high
set xlabel "predicted, Σ α t²  [nats/token]"
set ylabel "measured KL  [nats/token]" offset 0.8, 0
set lmargin screen 0.12
set rmargin screen 0.72
set tmargin screen (words(swept) > 0 ? 0.88 : 0.92)
set bmargin screen 0.14
set key at screen 0.74, 0.92 left top Left reverse noenhanced samplen 1
set label 1 note."bars: 95 % interval of the prediction, ±1.96 standard errors of the measured" at screen 0.985, 0.965 right font ",8" textcolor rgb grey noenhanced
plot [low:high] x with lines linecolor rgb black linewidth 0.75 title "as predicted", \
    for [r = 1:nr] table("plans") using (of(r, column("predicted"))):(column("kl")):(max(low, column("predicted_low"))):(min(high, column("predicted_high"))):(max(low, column("kl") - bar("kl"))):(column("kl") + bar("kl")) \
        with xyerrorbars pointtype mark[r] pointsize 0.55 linewidth 0.6 linecolor rgb tone[r], \
    for [r = 1:nr] NaN with points pointtype mark[r] pointsize 0.55 linecolor rgb tone[r] title label_of(r)
