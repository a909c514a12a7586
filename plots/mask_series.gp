# mask_series.gp - the series of the table masks and what each looks like: called by the figures of the experiment tacq
#
# A series is a method, with the width of its codes where it keeps weights.  A colour for each quantizer, so that its widths and scores are seen to
# belong together; filled markers for the plain ones, hollow ones for variants of a method (`tacq magnitude`); allocations in black.
n = 0; m = 0; low = 1e300; high = 0; sides = 1; rows = 0
array name[48]; array method[48]; array heading[2]
enough = 512
array row_series[enough]; array row_side[enough]; array row_bits[enough]; array row_kl[enough]
do for [i = 1:enough] { row_series[i] = 0; row_side[i] = 0; row_bits[i] = 0.; row_kl[i] = 0. }
series(k) = column("ratio") > 0 ? strcol("method").sprintf(", %g bits", column("code_bits")) : strcol("method")
index_of(label) = n == 0 ? 0 : (sum [i = 1:n] (name[i] eq label ? i : 0))
add(label) = index_of(label) || n == 48 ? 0 : (n = n + 1, name[n] = label, 0)
note_row(k) = rows == enough ? 0 : (rows = rows + 1, row_series[rows] = index_of(series(0)), row_side[rows] = column("side"), row_bits[rows] = column("bits"), row_kl[rows] = column("kl"), 0)
note_span(k) = (low = min(low, column("kl")), high = max(high, column("kl")), sides = max(sides, column("side")), heading[int(column("side"))] = strcol("text"), 0)
drawn(k) = chosen(0) && column("kl") > 0 && column("bits") > 0 && wanted(0)
stats table("masks") using (drawn(0) ? (add(series(0)), note_row(0), note_span(0)) : 0, 1) nooutput

array colour[8] = [blue, vermilion, green, orange, purple, sky, grey, 0x8C564B]
array filled[6] = [7, 5, 9, 11, 13, 15]
array hollow[6] = [10, 12, 14, 4, 6, 8]
quantizer(label) = label eq "allocated" ? "" : (strstrt(label, ",") ? word(label[1:strstrt(label, ",") - 1], 1) : word(label, 1))
variant(label) = words(strstrt(label, ",") ? label[1:strstrt(label, ",") - 1] : label) > 1
place(what) = m == 0 ? 0 : (sum [j = 1:m] (method[j] eq what ? j : 0))
array tone[48]; array mark[48]; array thick[48]; array title_of[48]
plain = 0; other = 0
do for [i = 1:n] {
    what = quantizer(name[i])
    if (what ne "" && place(what) == 0) { m = m + 1; method[m] = what }
    tone[i] = what eq "" ? black : colour[(place(what) - 1) % 8 + 1]
    thick[i] = what eq "" ? 1.5 : 0.75
    title_of[i] = what eq "" ? "exact allocation" : name[i]
    if (what eq "") { mark[i] = 2 } else {
        if (variant(name[i])) { other = other + 1; mark[i] = hollow[(other - 1) % 6 + 1] } else { plain = plain + 1; mark[i] = filled[(plain - 1) % 6 + 1] }
    }
}
of(i, s, x) = drawn(0) && series(0) eq name[i] && column("side") == s ? x : NaN
bar(y) = or_else(1.96 * column(y."_se"), 0)

# A series' line goes through the models that no smaller one of it beats.
beaten(i, s, bits, kl) = (sum [j = 1:rows] (row_series[j] == i && row_side[j] == s && row_bits[j] <= bits && row_kl[j] < kl)) > 0
front(i, s, x) = beaten(i, s, column("bits"), column("kl")) ? NaN : of(i, s, x)
