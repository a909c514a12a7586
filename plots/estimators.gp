# estimators.gp - ways to the coefficients: what 5 % in them costs, and how far they agree
#
# Left, the work until the standard error of the median layer (point) and of the worst one (end of the line) is 5 %.
# Right, the sum of the coefficients over fisher's of the same layers and windows.
width = 6.5
height = 3.1
if (!exists("scripts")) scripts = "plots"
load scripts."/style.gp"
call scripts."/first.gp" "estimators"

n = 0; low = 1e300; high = 0; near = 0.9; far = 1.1
array name[64]
add(label) = (n = n + 1, name[n] = label)
meet(x) = x > 0 ? (low = min(low, x), high = max(high, x)) : 0
reach(x) = x == x ? (near = min(near, max(x, -1)), far = max(far, min(x, 3))) : 0
half(k) = or_else(column("sum_ratio_half"), 0 * k)
stats table("estimators") using (chosen(0) ? (add(strcol("estimator")), meet(column("five_median")), meet(column("five_worst")), \
    reach(column("sum_ratio") - half(0)), reach(column("sum_ratio") + half(0))) : 0, 1) nooutput

place = 0
next(k) = (place = place + 1, n - place)
set yrange [-0.6:n - 0.4]
set ytics ()
do for [i = 1:n] { set ytics add (name[i] n - i) }
set bmargin screen 0.19
set tmargin screen (words(swept) > 0 ? 0.86 : 0.93)
set label 1 note."point: median layer; line: to the worst" at screen 0.19, 0.965 left font ",8" textcolor rgb grey noenhanced
set label 2 "bars: 95 % intervals" at screen 0.69, 0.965 left font ",8" textcolor rgb grey
set multiplot
set lmargin screen 0.19
set rmargin screen 0.64
low = low / 3
high = high * 3
call scripts."/log_axis.gp" "x" low high
set xlabel "token-forwards until the error is 5 %, all layers"
plot table("estimators") using (chosen(0) ? column("five_median") : NaN):(next(0)):(column("five_median")):(column("five_worst")) with xerrorbars pointsize 0 linecolor rgb blue, \
    (place = 0, NaN) notitle, \
    table("estimators") using (chosen(0) ? column("five_median") : NaN):(next(0)) with points pointtype 7 linecolor rgb blue
unset label 1
unset label 2
unset logscale x
set lmargin screen 0.69
set rmargin screen 0.97
set xrange [near - 0.1:far + 0.1]
unset mxtics
set xtics auto
set xtics step(far - near + 0.2, 5)
set format x "%g"
set ytics ()
do for [i = 1:n] { set ytics add ("" n - i) }
set xlabel "sum over fisher's"
set arrow 1 from 1, graph 0 to 1, graph 1 nohead linecolor rgb grey dashtype 2
place = 0
plot table("estimators") using (chosen(0) ? column("sum_ratio") : NaN):(next(0)):(half(0)) with xerrorbars pointsize 0 linecolor rgb vermilion, \
    (place = 0, NaN) notitle, \
    table("estimators") using (chosen(0) ? column("sum_ratio") : NaN):(next(0)) with points pointtype 7 linecolor rgb vermilion
unset multiplot
