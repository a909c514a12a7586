# lsaq.gp - KL over the number of blocks at more bits, for every order of the blocks and the exact allocations of the same bytes; a panel for each pair
height = 3.4
width = 6.5
if (!exists("scripts")) scripts = "plots"
load scripts."/style.gp"
call scripts."/first.gp" "plans"
load scripts."/lsaq_rules.gp"

panels = min(np, 3)
blocks = 0; low = 1e300; high = 0
meet(x) = (blocks = max(blocks, column("high")), low = min(low, x), high = max(high, x))
stats table("plans") using (drawn(0) && of_first_cost(0) ? meet(column("kl")) : 0, 1) nooutput
low = low / 1.4
high = high * 1.4
left = 0.105; right = 0.795; gap = 0.02
wide = (right - left - gap * (panels - 1)) / panels
# Neighbours stand side by side where they would cover each other; at the ends, where all are one model, they may.
shift(r) = panels > 1 || column("high") == 0 || column("high") == blocks ? 0 : (r - (nr + 1) / 2.) * 0.003 * blocks
rank_of(r) = exact(rule[r]) ? 1 : control(rule[r]) ? 3 : 2          # controls are drawn first, exact allocations last
style_of(r) = rule[r] eq "exact layers" ? 1.6 : control(rule[r]) ? 0.6 : 1
dash_of(r) = rule[r] eq "exact blocks" ? 2 : 1
set label 1 note."bars: ±1.96 standard errors over windows" at screen 0.985, 0.965 right font ",8" textcolor rgb grey noenhanced
set xrange [-0.03 * blocks:1.03 * blocks]
set xtics step(blocks, 4)
set ylabel "KL(clean ‖ quantized)  [nats/token]" offset -0.3, 0
set xlabel "blocks at more bits" offset 0, 0.3
call scripts."/log_axis.gp" "y" low high
set multiplot
set tmargin screen (words(swept) > 0 ? 0.82 : 0.86)
set bmargin screen 0.15
do for [p = 1:panels] {
    set lmargin screen left + (p - 1) * (wide + gap)
    set rmargin screen left + (p - 1) * (wide + gap) + wide
    set title pair[p]." bits" offset 0, -0.6 noenhanced
    if (p == 2) { unset ylabel; set format y ""; unset label 1 }
    if (p == panels) { set key at screen 0.81, 0.88 left top Left reverse noenhanced samplen 1.5 } else { unset key }
    plot for [layer = 3:1:-1] for [r = 1:nr] table("plans") using (rank_of(r) == layer ? at(p, r, column("high")) + shift(r) : NaN):(column("kl")) \
            with lines linewidth style_of(r) dashtype dash_of(r) linecolor rgb tone[r], \
        for [layer = 3:1:-1] for [r = 1:nr] table("plans") using (rank_of(r) == layer ? at(p, r, column("high")) + shift(r) : NaN):(column("kl")):(max(low, column("kl") - bar("kl"))):(column("kl") + bar("kl")) \
            with yerrorbars pointtype mark[r] pointsize 0.5 linewidth 0.8 linecolor rgb tone[r], \
        for [r = 1:nr] NaN with linespoints pointtype mark[r] pointsize 0.5 linewidth min(1, style_of(r)) dashtype dash_of(r) linecolor rgb tone[r] title label_of(r)
}
unset multiplot
