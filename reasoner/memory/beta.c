#include "reasoner/memory/statistics.h"

#include <math.h>

enum { FRACTION_TERMS = 300, HALVINGS = 60 };

#define TINY 1e-300
#define NEAR 1e-13

static double not_zero(double v)
{
	return fabs(v) < TINY ? TINY : v;
}

/* The continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method. */
static double fraction(double a, double b, double x)
{
	double c = 1, d = 1 / (1 - (a + b) * x / (a + 1)), h = d;
	for (int m = 1; m <= FRACTION_TERMS; m++) {
		double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
		d = 1 / not_zero(1 + even * d);
		c = not_zero(1 + even / c);
		h *= c * d;
		d = 1 / not_zero(1 + odd * d);
		c = not_zero(1 + odd / c);
		h *= c * d;
		if (fabs(c * d - 1) < NEAR)
			break;
	}
	return h;
}

/* P(X < x) for X of Beta(a, b), 0 < x < 1. */
static double beta_below(double a, double b, double x)
{
	int sign;
	double log_beta = lgamma_r(a, &sign) + lgamma_r(b, &sign) - lgamma_r(a + b, &sign);
	double front = exp(a * log(x) + b * log1p(-x) - log_beta);
	if (x < (a + 1) / (a + b + 2))
		return front * fraction(a, b, x) / a;
	return 1 - front * fraction(b, a, 1 - x) / b;
}

double beta_quantile(double alpha, double beta, double p)
{
	double low = 0, high = 1;
	for (int i = 0; i < HALVINGS; i++) {
		double middle = (low + high) / 2;
		if (beta_below(alpha, beta, middle) < p)
			low = middle;
		else
			high = middle;
	}
	return (low + high) / 2;
}
