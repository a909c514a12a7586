/*
 * distribution.h - the normal distribution and Student's t, as intervals need them
 */
#ifndef CORE_ESTIMATE_DISTRIBUTION_H
#define CORE_ESTIMATE_DISTRIBUTION_H

double normal_below(double z);                          /* P(Z < z)                                     */
double normal_quantile(double p);                       /* z with P(Z < z) = p                          */
double student_quantile(double level, int freedom);     /* t with P(|T| < t) = level; NaN below 1 degree */

/* Half the width of the interval for a value whose error has a variance that is a sum of estimated
 * parts: t sqrt(variance), with the degrees of freedom of Welch and Satterthwaite, variance^2 / squares,
 * rounded down, at least 1.  squares = sum of part^2 / its degrees of freedom.  NaN where either is. */
double student_half_width(double level, double variance, double squares);

#endif
