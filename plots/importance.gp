# importance.gp - the rank of each block by each rule: a row for a rule, the darker the more important
width = 6.5
if (!exists("scripts")) scripts = "plots"
height = 3.4
load scripts."/style.gp"
call scripts."/first.gp" "importance"

n = 0; blocks = 0
array name[64]
known(label) = (sum [i = 1:n] (name[i] eq label)) > 0
add(label) = known(label) || n == 64 ? 0 : (n = n + 1, name[n] = label, 0)
stats table("importance") using (chosen(0) ? (add(strcol("rule")), blocks = max(blocks, column("block") + 1), 0) : 0, 1) nooutput
row(label) = n + 1 - (sum [i = 1:n] (name[i] eq label ? i : 0))
set palette defined (0 "#08306B", 0.25 "#2171B5", 0.5 "#6BAED6", 0.75 "#B5D0E8", 1 "#DEEBF7")
set cbrange [1:max(2, blocks)]
set label 2 "rank; 1: the most important" at screen 0.985, 0.52 center rotate font ",8"
set cbtics (1)
do for [k = 1:max(1, ceil(blocks / step(blocks, 5)) - 1)] { set cbtics add (k * step(blocks, 5)) }
set cbtics add (blocks)
set colorbox user origin screen 0.905, 0.16 size screen 0.018, 0.72
set xrange [-0.5:blocks - 0.5]
set yrange [0.5:n + 0.5]
set xlabel "block" offset 0, 0.3
set xtics 0, max(1, step(blocks, 10)) scale 0
unset grid
small = n > 16 ? ",6" : ",8"
set ytics ("" 0) scale 0 font small noenhanced
do for [i = 1:n] { set ytics add (name[i] n + 1 - i) }
set lmargin screen 0.24
set rmargin screen 0.88
set tmargin screen 0.93
set bmargin screen 0.13
set border 0
set style fill solid 1 noborder
if (strlen(note)) { set label 1 note at screen 0.985, 0.965 right font ",8" textcolor rgb grey noenhanced }
plot table("importance") using (chosen(0) ? column("block") : NaN):(row(strcol("rule"))):(0.47):(0.46):(column("rank")) with boxxyerror fillcolor palette
