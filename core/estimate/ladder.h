/*
 * ladder.h - weights that turn slopes at a few noise levels into the loss at the last of them
 *
 * Along the ray t_l^2 = u t*_l^2 with fresh noise in all layers (Price's theorem; protocol.md eq. 7)
 *
 *     E loss(u) = int_0^u s(v) dv,   s(v) = sum_l slope_l(v) t*_l^2   ~   sum_k weight_k s(u_k),   0 = u_0 < u_1 < ... < u_K = u
 *
 * Weights do not depend on s, so a prediction is linear in the slopes of each window and has the interval that
 * windows give any mean.  Only the sum over windows at one level needs to exist: levels may have windows of their own.
 *
 *   linear      u s(0)                                the law of small noise
 *   trapezoid   u (s(0) + s(u)) / 2                   one operating point
 *   composite   integral of the natural cubic spline through all nodes; with two nodes the trapezoid
 *
 * Why the natural spline: measured against the loss of a 135M-parameter model at t^2 = .0148 .0296 .0537 .1075 the
 * composite trapezoid was off by 2.2 -.4 -1.0 -2.7 %, the natural spline by 1.4 -.6 -.1 .3 %, the not-a-knot spline by
 * 1.2 -.2 .6 .1 %, averaged parabolas by 1.2 -.9 .0 1.7 %, and one polynomial by up to 7.4 %; on a toy's 0 .0095 .0345
 * .1175 by -1.2, -.5, .9, -.5, .9 %.  For noise all nodes count alike: sqrt(sum weight^2) / u is .49, .60, 1.25, .59, 20
 * at five levels; not-a-knot has negative weights there.  For s = 1 + .8 u / (u + .03) it is within .05 % from four nodes
 * up to .0537, the composite trapezoid .4 %.
 */
#ifndef CORE_ESTIMATE_LADDER_H
#define CORE_ESTIMATE_LADDER_H

typedef enum { LADDER_LINEAR, LADDER_TRAPEZOID, LADDER_COMPOSITE } LadderRule;

/*
 * weight[n] for slopes at u[n], the target being the last node; they sum to u[n - 1].  u in any unit that rises
 * with t^2 along the ray (u itself, or the t^2 of a layer): the loss comes out per slope times that unit.
 * ERR_ARGUMENT: fewer than two nodes, u[0] not 0, nodes not rising or not finite.  weight is then untouched.
 */
int ladder_weights(double *weight, const double *u, int n, LadderRule rule);

#endif
