#include <stdio.h>

#include "calc.h"

static int failed;

static void expect(int a, int b, int sum)
{
	int got = add(a, b);
	if (got == sum)
		return;
	printf("test_calc.c: FAIL: add(%d, %d) is %d, not %d\n", a, b, got, sum);
	failed = 1;
}

int main(void)
{
	expect(2, 2, 4);
	expect(2, 3, 5);
	expect(-1, 1, 0);
	if (!failed)
		puts("test_calc.c: all pass");
	return failed;
}
