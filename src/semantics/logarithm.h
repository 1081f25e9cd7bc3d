// Logarithms and powers. In single precision x = 2**n * m with m in [sqrt(1/2), sqrt(2)), and a minimax polynomial
// gives log(m).
#pragma once

#include "semantics/exponential.h"
#include "semantics/rounding.h"

namespace dvm::semantics {

struct Split {
  float exponent;  // n, whole
  float fraction;  // m - 1
};

/// Splits a positive finite normal x.
DVM_HD Split split_normal(float x) {
  constexpr std::uint32_t kRootHalf = 0x3f3504f3;
  const std::uint32_t word = std::bit_cast<std::uint32_t>(x);
  const std::int32_t n = static_cast<std::int32_t>(word - kRootHalf) >> 23;
  const float m = std::bit_cast<float>(word - (static_cast<std::uint32_t>(n) << 23));
  return {static_cast<float>(n), m - 1.0f};
}
/// Splits a positive finite x.
DVM_HD Split split(float x) {
  const bool denormal = x < std::numeric_limits<float>::min();
  const Split parts = split_normal(denormal ? x * 8388608.0f : x);
  return {parts.exponent - (denormal ? 23.0f : 0.0f), parts.fraction};
}

/// (log(1 + f) - f) / f**2 for f in [sqrt(1/2) - 1, sqrt(2) - 1].
DVM_HD float log_polynomial(float f) {
  return polynomial(f, -0.5f, 3.333333e-01f, -2.5000823e-01f, 2.000126e-01f, -1.662334e-01f,
                    1.4201047e-01f, -1.31596e-01f, 1.2766182e-01f, -7.641775e-02f);
}

/// n * ln 2 + log(1 + f).
DVM_HD float log_of(Split parts) {
  const float f = parts.fraction;
  const float fraction = multiply_accumulate(f * f, log_polynomial(f), f);
#if defined(__FMA__) || defined(__CUDA_ARCH__)
  return std::fma(parts.exponent, 0.693147182f, fraction);
#else
  return parts.exponent * kLn2High + (parts.exponent * kLn2Low + fraction);
#endif
}

/// `result` where a logarithm of x is finite, else what it is there.
DVM_HD float log_or_special(float x, float result) {
  const float beside = x == 0.0f ? -kInfinity<float> : x;  // 0, inf or nan
  const float special = x < 0.0f ? kNan<float> : beside;
  return (x > 0.0f) & (x < kInfinity<float>) ? result : special;
}

/// Splits a positive finite normal x.
struct SplitWide {
  double exponent;
  double fraction;
};
DVM_HD SplitWide split_normal(double x) {
  constexpr std::uint64_t kRootHalf = 0x3fe6a09e667f3bcd;
  constexpr std::uint64_t kBias = 1024;
  const std::uint64_t word = std::bit_cast<std::uint64_t>(x);
  const std::uint64_t above = word - kRootHalf + (kBias << 52);
  // The exponent becomes a double as the low bits of 2**52, since few machines convert 64-bit integers.
  const double n = std::bit_cast<double>((above >> 52) | 0x4330000000000000u) - (0x1p52 + kBias);
  const std::uint64_t exponent = above & 0xfff0000000000000u;
  return {n, std::bit_cast<double>(word - exponent + (kBias << 52)) - 1.0};
}

struct log {
  DVM_HD float operator()(float a) const { return log_or_special(a, log_of(split(a))); }
  DVM_HD double operator()(double a) const {
    const bool denormal = a < std::numeric_limits<double>::min();
    const SplitWide parts = split_normal(denormal ? a * 0x1p54 : a);
    const double n = parts.exponent - (denormal ? 54.0 : 0.0);
    const double f = parts.fraction;
    // log(1 + f) = f - f * f / 2 + s * (f * f / 2 + polynomial) with s = f / (2 + f), whose first terms are exact.
    const double s = f / (2.0 + f);
    const double z = s * s;
    const double p = z * polynomial(z, 0.6666666666666734, 0.3999999999941641, 0.28571428742114535,
                                    0.22222198593478037, 0.1818356356960441, 0.15314063878124068,
                                    0.14795866212671535);
    const double half = 0.5 * f * f;
    const double low = multiply_accumulate(n, 1.9082149292705877e-10, s * (half + p));
    const double result = multiply_accumulate(n, 0.69314718036912382, f - (half - low));
    const double beside = a == 0.0 ? -kInfinity<double> : a;
    const double special = a < 0.0 ? kNan<double> : beside;
    return (a > 0.0) & (a < kInfinity<double>) ? result : special;
  }
};

struct log2 {
  DVM_HD float operator()(float a) const {
    const Split parts = split(a);
    const float f = parts.fraction;
    const float low = f * f * log_polynomial(f);
    // log2(e) = 1.4426... in parts, so that the product with f does not round where n is 0.
    constexpr float kHigh = 1.442695e+00f;
    constexpr float kLow = static_cast<float>(1.4426950408889634 - static_cast<double>(kHigh));
    const float tail = multiply_accumulate(f + low, kLow, low * kHigh);
    return log_or_special(a, multiply_accumulate(f, kHigh, tail) + parts.exponent);
  }
  DVM_HD double operator()(double a) const { return std::log2(a); }
};

struct log10 {
  DVM_HD float operator()(float a) const {
    const Split parts = split(a);
    const float f = parts.fraction;
    const float low = f * f * log_polynomial(f);
    constexpr float kLog10E = 0.43429448190325f;
    constexpr float kLog10Of2High = 0.301025390625f;  // n * high is exact
    constexpr float kLog10Of2Low = 4.6050389811952e-6f;
    const float small = multiply_accumulate(parts.exponent, kLog10Of2Low, low * kLog10E);
    const float tail = multiply_accumulate(f, kLog10E, small);
    return log_or_special(a, multiply_accumulate(parts.exponent, kLog10Of2High, tail));
  }
  DVM_HD double operator()(double a) const { return std::log10(a); }
};

/// log(1 + x) for x > -1, finite: the logarithm of the rounded sum, whose error joins the fraction.
DVM_HD float log_of_one_plus(float x) {
  const float sum = 1.0f + x;
  const float back = sum - 1.0f;
  const float error = (1.0f - (sum - back)) + (x - back);
  const Split parts = split_normal(sum);
  const std::int32_t n = static_cast<std::int32_t>(parts.exponent);
  const float unscale =
      from_bits((127 - (n < 127 ? n : 127)) << 23);  // 2**-n, or 0 for a sum that has no error
  return log_of({parts.exponent, multiply_accumulate(error, unscale, parts.fraction)});
}

struct log1p {
  DVM_HD float operator()(float a) const {
    const float beside = a < -1.0f ? kNan<float> : a;  // inf, nan
    const float special = a == -1.0f ? -kInfinity<float> : beside;
    const bool finite = (a > -1.0f) & (a < kInfinity<float>);
    return finite ? with_sign(log_of_one_plus(a), a) : special;
  }
  DVM_HD double operator()(double a) const { return std::log1p(a); }
};

/// log2(x) in double precision with an error of 2**-38 for positive finite x that are normal as doubles, which all
/// floats are.
DVM_HD double log2_wide(double x) {
  const SplitWide parts = split_normal(x);
  const double f = parts.fraction;
  const double q = polynomial(f, -0.49999999996689043, 0.3333333333066817, -0.25000000928642835,
                              0.20000001313183824, -0.16666592558984528, 0.14285564187046376,
                              -0.12502483679919166, 0.11117768285207362, -0.09962195363649674,
                              0.08956284306754295, -0.08539046552409002, 0.08908506103225616,
                              -0.07703635812729373, 0.03278094069392938);
  return multiply_accumulate(multiply_accumulate(q, f * f, f), 1.4426950408889634, parts.exponent);
}

struct pow {
  DVM_HD float operator()(float a, float b) const {
    const float size = magnitude(a);
    const double finite = log2_wide(static_cast<double>(size));
    const double infinite = size < kInfinity<float> ? finite : static_cast<double>(size);
    const double logarithm = size == 0.0f ? -kInfinity<double> : infinite;
    const float result = static_cast<float>(exp2_wide(static_cast<double>(b) * logarithm));

    const float whole = trunc{}(b);
    const float half = 0.5f * b;
    const bool odd = (whole == b) & (trunc{}(half) != half);
    const bool undefined = (a < 0.0f) & (size < kInfinity<float>)&(whole != b);
    const float flipped = odd ? with_sign(result, a) : result;
    const float value = undefined ? kNan<float> : flipped;
    const bool one =
        (a == 1.0f) | (b == 0.0f) | ((a == -1.0f) & (magnitude(b) == kInfinity<float>));
    return one ? 1.0f : value;
  }
  DVM_HD double operator()(double a, double b) const { return std::pow(a, b); }
  template <class T>
    requires(!is_float<T>)
  DVM_HD T operator()(T a, T b) const {
    using U = Wrapping<T>;
    U result = 1;
    U factor = static_cast<U>(a);
    for (U rest = b < 0 ? U(0) : static_cast<U>(b); rest != 0; rest >>= 1) {
      result = rest & 1 ? result * factor : result;
      factor *= factor;
    }
    const T inverse = a == 1 || (a == -1 && b % 2 == 0) ? T(1) : a == -1 ? T(-1) : T(0);
    return b < 0 ? inverse : static_cast<T>(result);
  }
};

}  // namespace dvm::semantics
