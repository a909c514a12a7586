# log_axis.gp - a logarithmic axis from low to high: call "log_axis.gp" "x" low high
# Labels powers of ten where two or more lie in the range, otherwise 1, 2 and 5 times them.
set_axis(what) = sprintf("set %s%s", ARG1, what)
low = ARG2 + 0.
high = ARG3 + 0.
eval sprintf("set logscale %s 10", ARG1)
eval set_axis(sprintf("range [%.17g:%.17g]", low, high))
powers = floor(log10(high)) - ceil(log10(low)) + 1
eval "set m".set_axis("tics 10")[5:]
if (powers >= 2) {
    # With a step alone gnuplot 5.4 puts the first tick of an axis from 30 at 20, 200, .. and labels them 10, 100.
    eval set_axis(sprintf("tics %.17g, %d", 10.**floor(log10(low)), powers > 7 ? 100 : 10))
    eval "set format ".ARG1." '10^{%T}'"
} else {
    eval "unset m".set_axis("tics")[5:]
    plain = high < 10000 && low > 0.0005
    eval set_axis("tics ()")
    eval sprintf("set format %s '%s'", ARG1, plain ? "%g" : "%.0t·10^{%T}")
    do for [power = floor(log10(low)):ceil(log10(high))] {
        do for [digit in "1 2 5"] {
            eval set_axis(sprintf("tics add (%.17g)", digit * 10.**power))
        }
    }
}
