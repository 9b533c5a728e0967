/* Mathematical functions whose calls the compiler can gather over lanes, where the C library has them (glibc's
   libmvec, at most 4 ulp off). Elsewhere they are the library's scalar functions. */

#include <stdint.h>

#if defined(__GLIBC__) && defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)

#define VECTOR __attribute__((simd("notinbranch"), const, nothrow))
#define ONE_ARGUMENT(name) VECTOR double name(double); VECTOR float name##f(float);
#define TWO_ARGUMENTS(name) VECTOR double name(double, double); VECTOR float name##f(float, float);
#if !__GLIBC_PREREQ(2, 35)
#define SINCE_2_35(declaration)
#include <math.h>
#else
#define SINCE_2_35(declaration) declaration
double fabs(double), floor(double), ceil(double), trunc(double), rint(double), sqrt(double);
float fabsf(float), floorf(float), ceilf(float), truncf(float), rintf(float), sqrtf(float);
#endif
ONE_ARGUMENT(sin) ONE_ARGUMENT(cos) ONE_ARGUMENT(exp) ONE_ARGUMENT(log) TWO_ARGUMENTS(pow)
SINCE_2_35(ONE_ARGUMENT(acos) ONE_ARGUMENT(asin) ONE_ARGUMENT(atan) TWO_ARGUMENTS(atan2) ONE_ARGUMENT(cbrt)
           ONE_ARGUMENT(cosh) ONE_ARGUMENT(erf) ONE_ARGUMENT(erfc) ONE_ARGUMENT(exp2) ONE_ARGUMENT(expm1)
           ONE_ARGUMENT(log10) ONE_ARGUMENT(log1p) ONE_ARGUMENT(log2) ONE_ARGUMENT(sinh) ONE_ARGUMENT(tan)
           ONE_ARGUMENT(tanh))

#else
#include <math.h>
#endif
