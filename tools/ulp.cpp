// Accuracy and speed of the float functors: for each, the largest error in units in the last place (ULP) over all
// floats (every `stride`-th of them), where it occurs, and the nanoseconds per element of the loop that the CPU
// executor runs. tools/ulp.py builds this for each machine and prints the table of docs/internals/numerics.md.
//
//   ulp [stride]      stride 1 is exhaustive
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "semantics/semantics.h"

namespace semantics = dvm::semantics;

namespace {

constexpr long kBlock = 4096;

/// A block of floats, aligned as the executor's registers are.
struct alignas(64) Block {
  float values[kBlock];
  float& operator[](long i) { return values[i]; }
  float* data() { return values; }
  const float* data() const { return values; }
};

/// The error of `got` in ULP of `want`, or of `floor` where `want` is smaller.
double error_in_ulp(float got, double want, double floor = 1.1754943508222875e-38) {
  const float rounded = static_cast<float>(want);
  if (std::isnan(rounded) || std::isnan(got))
    return std::isnan(rounded) == std::isnan(got) ? 0 : 1e30;
  if (std::isinf(rounded) || std::isinf(got)) {
    if (rounded == got) return 0;
    return std::fabs(want) > 3.4e38 ? 0.5 : 1e30;
  }
  const double size = std::max(std::fabs(want), floor);
  return std::fabs(got - want) / std::exp2(std::floor(std::log2(size)) - 23);
}

template <class F>
void apply(F f, const float* __restrict a, float* __restrict d, long n) {
  if constexpr (semantics::is_guarded<F, float, 1>) {
    unsigned slow = 0;
    for (long i = 0; i < n; ++i) slow |= F::fast(a[i]) ? 0u : 1u;
    if (slow != 0) {
      for (long i = 0; i < n; ++i) d[i] = F::slow(a[i]);
      return;
    }
  }
  for (long i = 0; i < n; ++i) d[i] = f(a[i]);
}

template <class F>
void apply(F f, const float* __restrict a, const float* __restrict b, float* __restrict d, long n) {
  if constexpr (semantics::is_guarded<F, float, 2>) {
    unsigned slow = 0;
    for (long i = 0; i < n; ++i) slow |= F::fast(a[i], b[i]) ? 0u : 1u;
    if (slow != 0) {
      for (long i = 0; i < n; ++i) d[i] = F::slow(a[i], b[i]);
      return;
    }
  }
  for (long i = 0; i < n; ++i) d[i] = f(a[i], b[i]);
}

/// The time of `run`, which reads at `inputs` and writes at `output`, per element.
template <class Run>
double nanoseconds(const float* inputs, const float* output, Run run) {
  using Clock = std::chrono::steady_clock;
  double best = 1e30;
  for (int trial = 0; trial < 15; ++trial) {
    const auto start = Clock::now();
    for (int i = 0; i < 20; ++i) {
      run();
      asm volatile("" ::"r"(inputs), "r"(output) : "memory");  // or it would be run once
    }
    const std::chrono::duration<double, std::nano> taken = Clock::now() - start;
    best = std::min(best, taken.count() / (20.0 * kBlock));
  }
  return best;
}

Block uniform(float low, float high, int seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> draw(low, high);
  Block block;
  for (float& value : block.values) value = draw(random);
  return block;
}

template <class F, class Reference>
void unary(const char* name, F f, Reference reference, float low, float high, long stride,
           double floor = 1.1754943508222875e-38) {
  Block a, d;
  double worst = 0;
  float where = 0;
  for (long first = 0; first < (1l << 32); first += stride * kBlock) {
    for (long i = 0; i < kBlock; ++i) {
      const std::uint32_t word = static_cast<std::uint32_t>(first + i * stride);
      std::memcpy(&a[i], &word, 4);
    }
    apply(f, a.data(), d.data(), kBlock);
    for (long i = 0; i < kBlock; ++i) {
      const double error = error_in_ulp(d[i], reference(static_cast<double>(a[i])), floor);
      if (error > worst) worst = error, where = a[i];
    }
  }
  const Block x = uniform(low, high, 1);
  const double time =
      nanoseconds(x.data(), d.data(), [&] { apply(f, x.data(), d.data(), kBlock); });
  std::printf("%s %.3f %.9g %.3f\n", name, worst, where, time);
  std::fflush(stdout);
}

template <class F, class Reference>
void binary(const char* name, F f, Reference reference, float low, float high, long stride) {
  Block a, b, d;
  std::mt19937 random(2);
  double worst = 0;
  float where = 0;
  const long count = (1l << 32) / stride / 4;
  for (long first = 0; first < count; first += kBlock) {
    for (long i = 0; i < kBlock; ++i) {
      // Half of the pairs are of like size: the interesting ones.
      const std::uint32_t words[2] = {static_cast<std::uint32_t>(random()),
                                      static_cast<std::uint32_t>(random())};
      std::memcpy(&a[i], &words[0], 4);
      std::memcpy(&b[i], &words[1], 4);
      if (i % 2 == 0) {
        a[i] = low + (high - low) * static_cast<float>(words[0]) * 0x1p-32f;
        b[i] = low + (high - low) * static_cast<float>(words[1]) * 0x1p-32f;
      }
    }
    apply(f, a.data(), b.data(), d.data(), kBlock);
    for (long i = 0; i < kBlock; ++i) {
      const double want = reference(static_cast<double>(a[i]), static_cast<double>(b[i]));
      const double error = error_in_ulp(d[i], want);
      if (error > worst) worst = error, where = a[i];
    }
  }
  const Block x = uniform(low, high, 1);
  const Block y = uniform(low, high, 3);
  const double time =
      nanoseconds(x.data(), d.data(), [&] { apply(f, x.data(), y.data(), d.data(), kBlock); });
  std::printf("%s %.3f %.9g %.3f\n", name, worst, where, time);
  std::fflush(stdout);
}

double sigmoid(double x) {
  return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}

double erfinv(double x) { return semantics::erfinv{}(x); }

}  // namespace

int main(int argc, char** argv) {
  const long stride = argc > 1 ? std::atol(argv[1]) : 257;
#define UNARY(name, low, high, reference, ...)                                           \
  unary(                                                                                 \
      #name, semantics::name{}, [](double x) -> double { return reference; }, low, high, \
      stride __VA_OPT__(, ) __VA_ARGS__)
#define BINARY(name, low, high, reference)                                                         \
  binary(                                                                                          \
      #name, semantics::name{}, [](double x, double y) -> double { return reference; }, low, high, \
      stride)
  UNARY(sqrt, 0, 10, std::sqrt(x));
  UNARY(rsqrt, 0, 10, 1 / std::sqrt(x));
  UNARY(exp, -10, 10, std::exp(x));
  UNARY(exp2, -10, 10, std::exp2(x));
  UNARY(expm1, -10, 10, std::expm1(x));
  UNARY(log, 0, 10, std::log(x));
  UNARY(log2, 0, 10, std::log2(x));
  UNARY(log10, 0, 10, std::log10(x));
  UNARY(log1p, 0, 10, std::log1p(x));
  UNARY(sin, -10, 10, std::sin(x));
  UNARY(cos, -10, 10, std::cos(x));
  UNARY(tan, -10, 10, std::tan(x));
  UNARY(asin, -1, 1, std::asin(x));
  UNARY(acos, -1, 1, std::acos(x));
  UNARY(atan, -10, 10, std::atan(x));
  UNARY(sinh, -10, 10, std::sinh(x));
  UNARY(cosh, -10, 10, std::cosh(x));
  UNARY(tanh, -10, 10, std::tanh(x));
  UNARY(asinh, -10, 10, std::asinh(x));
  UNARY(acosh, 1, 10, std::acosh(x));
  UNARY(atanh, -1, 1, std::atanh(x));
  UNARY(erf, -4, 4, std::erf(x));
  UNARY(erfc, -4, 4, std::erfc(x));
  UNARY(erfinv, -1, 1, erfinv(x));
  UNARY(sigmoid, -10, 10, sigmoid(x));
  UNARY(softplus, -10, 10, (x > 0 ? x : 0) + std::log1p(std::exp(-std::fabs(x))));
  UNARY(silu, -10, 10, x * sigmoid(x), 1e-36);
  UNARY(gelu, -10, 10, 0.5 * x * std::erfc(-0.7071067811865476 * x), 1e-8);
  UNARY(gelu_tanh, -10, 10, x * sigmoid(x * (1.5957691216057308 + 0.07135481627260025 * x * x)),
        1e-8);
  BINARY(pow, 0, 10, std::pow(x, y));
  BINARY(atan2, -10, 10, std::atan2(x, y));
  BINARY(hypot, -10, 10, std::hypot(x, y));
  BINARY(fmod, -10, 10, std::fmod(x, y));
}
