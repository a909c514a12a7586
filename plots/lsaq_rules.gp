# lsaq_rules.gp - the rules and pairs of the table plans, and what each looks like: called by the figures of the experiment lsaq
#
# Orders that know something of the model have a colour each, controls are grey, exact allocations black.
np = 0; nr = 0; unknown = 0
array pair[64]; array rule[64]; array tone[64]; array mark[64]
starts(name, word) = strstrt(name, word) == 1
control(name) = starts(name, "random") || starts(name, "first-to") || starts(name, "last-to")
exact(name) = starts(name, "exact")
array colour[6] = [vermilion, blue, green, purple, orange, sky]
array marker[6] = [7, 5, 9, 11, 13, 7]
known_pair(name) = (sum [i = 1:np] (pair[i] eq name)) > 0
known_rule(name) = (sum [i = 1:nr] (rule[i] eq name)) > 0
add_pair(name) = known_pair(name) || np == 64 ? 0 : (np = np + 1, pair[np] = name, 0)
look(name) = exact(name) ? (tone[nr] = black, mark[nr] = name eq "exact layers" ? 4 : name eq "exact blocks" ? 8 : 10, 0) \
           : control(name) ? (tone[nr] = 0x9A9A9A, mark[nr] = starts(name, "random") ? 6 : starts(name, "first") ? 1 : 2, 0) \
           : (unknown = unknown + 1, tone[nr] = colour[(unknown - 1) % 6 + 1], mark[nr] = marker[(unknown - 1) % 6 + 1], 0)
add_rule(name) = known_rule(name) || nr == 64 ? 0 : (nr = nr + 1, rule[nr] = name, look(name))
first_cost = ""
note_cost(name) = (exact(strcol("rule")) && first_cost eq "" ? (first_cost = name, 0) : 0)
drawn(x) = chosen(0) && column("kl") > 0
of_first_cost(x) = !exact(strcol("rule")) || strcol("cost") eq first_cost
stats table("plans") using (drawn(0) ? (note_cost(strcol("cost")), add_pair(strcol("pair")), add_rule(strcol("rule")), 0) : 0, 1) nooutput
at(p, r, x) = drawn(0) && of_first_cost(0) && strcol("pair") eq pair[p] && strcol("rule") eq rule[r] ? x : NaN
bar(y) = or_else(1.96 * column(y."_se"), 0)
# One line of the key for all random orders.
label_of(r) = !starts(rule[r], "random") ? rule[r] : rule[r] eq "random-1" ? "random" : ""
