#!/usr/bin/env python3
"""Compares `linearity allocate` with OR-tools on 100 tables like those of models; prints costs that differ and ratios of times.

    python3 -m venv VENV && VENV/bin/pip install ortools numpy
    VENV/bin/python core/tests/golden/allocate/check.py [--binary build/linearity] [--instances 100] [--limit 10] [--solvers CP-SAT,SCIP,CBC]

In every fourth table q, k and v of a block share a choice, and so do gate and up.  Sizes are whole and given to all solvers in units of their common divisor.  CP-SAT takes whole numbers only: costs are scaled to
2^50 for the dearest allocation and rounded, so that its optimum is one to n_layers / 2 steps.  SCIP and CBC take doubles and
prove to tolerances of their own, whatever gap is asked for: 1e-6 of the cost is left to SCIP, 1e-4 to CBC.  Times: `solver` is the call of Solve() alone, for linearity the mean of
20 further budgets in one process less that of one budget; `whole` is a process from its start for linearity, and building the model
and Solve(), without Python's start and imports, for OR-tools.
"""
import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy
from ortools.linear_solver import pywraplp
from ortools.sat.python import cp_model

UNITS = [4, 1, 1, 4, 14, 14, 14]                # 2^20 weights of q k v o gate up down
TYPES = ["q", "k", "v", "o", "gate", "up", "down"]


def make_instance(seed):
    """sizes [bits] and costs, [layers][choices], with bits and weights"""
    random = numpy.random.default_rng(seed)
    blocks, choices = int(random.integers(8, 33)), int(random.integers(4, 13))
    step = [1 / 2, 1 / 4, 1 / 32][seed % 3]
    weights = numpy.array([unit << 20 for unit in UNITS] * blocks, dtype=numpy.int64)
    if seed % 5 == 4:
        weights = (weights * random.uniform(0.8, 1.2, len(weights)) / 4096).astype(numpy.int64) * 4096
    alpha = random.lognormal(0, 1, len(weights)) * numpy.array(UNITS * blocks)
    bits = numpy.sort(random.choice(numpy.arange(2, 8 + step / 2, step), (choices), replace=False))
    cost = alpha[:, None] * 4.0 ** -bits[None, :] * random.uniform(0.8, 1.25, (len(weights), choices))
    budget = float(bits[0] + (bits[-1] - bits[0]) * random.uniform(0.1, 0.8))
    return weights, bits, cost, budget


def write_csv(path, weights, bits, cost):
    with open(path, "w") as out:
        out.write("layer,weights,choice,bits,cost\n")
        for l, w in enumerate(weights):
            for k, b in enumerate(bits):
                out.write(f"blocks.{l // 7}.{TYPES[l % 7]},{w},c{k},{float(b)!r},{float(cost[l, k])!r}\n")


TOGETHER = [("q", "k", "v"), ("gate", "up")]


def merge(rows):
    """rows of layers that share a choice, added up"""
    merged = {}
    for l, row in enumerate(rows):
        group = next((g for g, types in enumerate(TOGETHER) if TYPES[l % 7] in types), TYPES[l % 7])
        key = (l // 7, group)
        merged[key] = merged[key] + row if key in merged else row.copy()
    return numpy.array(list(merged.values()))


def run_linearity(binary, path, budgets, grouped):
    start = time.perf_counter()
    words = [binary, "allocate", str(path), "--json"] + [f"--budget={b!r}" for b in budgets]
    words += [word for types in TOGETHER for word in ("--together", ",".join(types))] if grouped else []
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start
    return json.loads(done.stdout)["allocations"], seconds


def cp_sat(sizes, cost, capacity, limit):
    start = time.perf_counter()
    scale = 2.0 ** math.floor(math.log2(2.0 ** 50 / cost.max(axis=1).sum()))
    model = cp_model.CpModel()
    x = [[model.NewBoolVar("") for _ in row] for row in sizes]
    for row in x:
        model.AddExactlyOne(row)
    flat = [v for row in x for v in row]
    model.Add(cp_model.LinearExpr.WeightedSum(flat, [int(s) for row in sizes for s in row]) <= int(capacity))
    model.Minimize(cp_model.LinearExpr.WeightedSum(flat, [int(round(c * scale)) for row in cost for c in row]))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = limit
    status = solver.Solve(model)
    whole = time.perf_counter() - start
    found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    value = sum(cost[l, [solver.Value(v) for v in row].index(1)] for l, row in enumerate(x)) if found else math.inf
    return value, status == cp_model.OPTIMAL, solver.WallTime(), whole, len(sizes) / 2 / scale


def mip(name, tolerance):
    def solve(sizes, cost, capacity, limit):
        start = time.perf_counter()
        solver = pywraplp.Solver.CreateSolver(name)
        solver.SetTimeLimit(int(1000 * limit))
        x = [[solver.BoolVar("") for _ in row] for row in sizes]
        for row in x:
            solver.Add(sum(row) == 1)
        solver.Add(sum(int(s) * v for row, vars in zip(sizes, x) for s, v in zip(row, vars)) <= int(capacity))
        solver.Minimize(sum(float(c) * v for row, vars in zip(cost, x) for c, v in zip(row, vars)))
        parameters = pywraplp.MPSolverParameters()
        parameters.SetDoubleParam(parameters.RELATIVE_MIP_GAP, 0.0)
        begin = time.perf_counter()
        status = solver.Solve(parameters)
        end = time.perf_counter()
        found = status in (pywraplp.Solver.OPTIMAL, pywraplp.Solver.FEASIBLE)
        chosen = [max(range(len(row)), key=lambda k: row[k].solution_value()) for row in x] if found else None
        value = sum(cost[l, k] for l, k in enumerate(chosen)) if found else math.inf
        return value, status == pywraplp.Solver.OPTIMAL, end - begin, end - start, tolerance * value if found else 0
    return solve


SOLVERS = {"CP-SAT": cp_sat, "SCIP": mip("SCIP", 1e-6), "CBC": mip("CBC", 1e-4)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/linearity")
    parser.add_argument("--instances", type=int, default=100)
    parser.add_argument("--limit", type=float, default=10)
    parser.add_argument("--solvers", default="CP-SAT,SCIP,CBC")
    asked = parser.parse_args()
    names = asked.solvers.split(",")
    rows = {name: [] for name in names}
    wrong, ours_only, ours_whole = 0, [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(asked.instances):
            weights, bits, cost, budget = make_instance(seed)
            path = pathlib.Path(folder) / f"{seed}.csv"
            write_csv(path, weights, bits, cost)
            grouped = seed % 4 == 3
            (ours,), whole = run_linearity(asked.binary, path, [budget], grouped)
            _, many = run_linearity(asked.binary, path, [budget] + [budget + 1e-3 * i for i in range(1, 21)], grouped)
            ours_only.append(max((many - whole) / 20, 1e-6))
            ours_whole.append(whole)
            sizes = (weights[:, None] * bits[None, :]).round().astype(numpy.int64)
            if grouped:
                sizes, cost = merge(sizes), merge(cost)
            least = sizes.min(axis=1)
            unit = int(numpy.gcd.reduce((sizes - least[:, None]).ravel()))
            capacity = (ours["certificate"]["capacity"] - int(least.sum())) // unit
            for name in names:
                value, proven, only, all_of_it, slack = SOLVERS[name]((sizes - least[:, None]) // unit, cost, capacity, asked.limit)
                better, worse = value < ours["cost"] * (1 - 1e-9) - 1e-300, proven and value > ours["cost"] * (1 + 1e-9) + slack
                if better or worse or not ours["optimal"]:
                    wrong += 1
                    print(f"instance {seed}: linearity {ours['cost']!r} {ours['optimal']}, {name} {value!r} proven {proven}")
                rows[name].append((proven, only / ours_only[-1], all_of_it / whole, only, all_of_it, value / ours["cost"] - 1))
            if seed % 10 == 9:
                print(f"{seed + 1} instances", file=sys.stderr)
    print(f"linearity: solver {1e3 * numpy.mean(ours_only):.2f} ms mean, {1e3 * max(ours_only):.2f} ms worst; whole process {1e3 * numpy.mean(ours_whole):.1f} ms mean")
    for name in names:
        proven, only, all_of_it, seconds, whole, excess = zip(*rows[name])
        print(f"{name}: proven {sum(proven)} of {len(proven)} in {asked.limit:g} s, cost above ours at most {max(excess):.1e}; solver {numpy.mean(seconds):.2f} s mean, "
              f"{numpy.median(only):.0f} times ours (median; {min(only):.0f} to {max(only):.0f}); whole {numpy.mean(whole):.2f} s, "
              f"{numpy.median(all_of_it):.0f} times ours")
    print(f"{wrong} of {asked.instances * len(names)} comparisons failed")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
