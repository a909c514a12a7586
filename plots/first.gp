# first.gp - sets first[] to the swept values in the first row of a table: call "first.gp" "responses"
rows = 0
remember(row) = (rows = rows + 1, rows > 1 ? 0 : (sum [i = 1:words(swept)] (first[i] = strcol(word(swept, i)), 1)))
if (words(swept) > 0) {
    stats table(ARG1) using (remember(0), 1) nooutput
    note = "first combination: "
    do for [i = 1:words(swept)] { note = note.(i > 1 ? ", " : "").word(swept, i)." = ".first[i] }
    note = note."\n"
}
