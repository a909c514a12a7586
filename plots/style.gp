# style.gp - what all figures share: the terminal, colours, markers, and how tables are read
#
# A figure's script sets width and height [inch] and loads this.  The caller gives with -e:
#   data      folder of the tables, TABLE.csv                     output    path of the picture without its ending
#   terminal  svg, png or pdf                                     scripts   folder of these scripts (default plots)
#   tables    those there are (default all); an older file of another run may lie in the folder
#   swept     names of columns that tell the combinations of a sweep apart (default none): only the first is drawn
# By hand: gnuplot -e "data='results/NAME'; output='response'; terminal='pdf'" plots/response.gp
if (!exists("tables")) tables = "responses coefficients predictions floor ladder additivity slopes quantizers predictors models plans importance masks"
if (!exists("swept")) swept = ""

set encoding utf8
if (terminal eq "svg") set terminal svg enhanced size 96*width,96*height font "Liberation Sans,Helvetica,Arial,sans-serif,12" linewidth 1 background "white"
if (terminal eq "png") set terminal pngcairo enhanced size 300*width,300*height font "Liberation Sans,9" fontscale 300/96. linewidth 300/96. pointscale 300/96.
if (terminal eq "pdf") set terminal pdfcairo enhanced size width,height font "Liberation Sans,9" fontscale 1 linewidth 1 pointscale 0.5
set output output.".".terminal

set datafile separator comma
set datafile columnheaders                      # columns by name; an empty cell reads as NaN and is not drawn
set datafile missing NaN                        # nor does it break a line
table(name) = strstrt(" ".tables." ", " ".name." ") ? data."/".name.".csv" : "/dev/null"

# Okabe and Ito's colours, told apart by colour-blind readers; markers tell them apart in grey print.
black = 0x000000; blue = 0x0072B2; sky = 0x56B4E9; green = 0x009E73; orange = 0xE69F00; vermilion = 0xD55E00; purple = 0xCC79A7
grey = 0x808080; pale = 0xE4E4E4
array type_colour[7] = [blue, sky, green, black, orange, purple, vermilion]
array type_marker[7] = [7, 6, 5, 4, 9, 11, 13]
types = "q k v o gate up down"

set border 3 linecolor rgb black linewidth 0.75
set tics nomirror out scale 0.6,0.3
set xtics offset 0, 0.2
set grid xtics ytics back linetype 1 linecolor rgb pale linewidth 0.5
set errorbars 0
set key samplen 2 spacing 1.1 noautotitle
set pointsize 0.6

max(a, b) = a > b ? a : b
min(a, b) = a < b ? a : b
or_else(x, y) = x == x ? x : y                  # y where x is undefined

# A log axis has no place for what reaches zero or below; bars that do are cut at the edge.
edge(x, low) = x > low ? x : low

# the step of 1, 2 or 5 times a power of ten that cuts a span into at most n parts
round_up(x, power) = x <= 2 * power ? 2 * power : x <= 5 * power ? 5 * power : 10 * power
step(span, n) = round_up(1.0 * span / n, 10.**floor(log10(1.0 * span / n)))

# true in rows of the first combination of a sweep; first[] is filled by first.gp for one table
array first[max(1, words(swept))]
chosen(row) = words(swept) == 0 ? 1 : (sum [i = 1:words(swept)] (strcol(word(swept, i)) eq first[i])) == words(swept)
note = ""
