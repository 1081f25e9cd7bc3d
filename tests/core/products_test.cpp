// Matrix products and attention in memory that ends where they end: for the sanitizers, on every build of the kernels that
// this CPU runs. Shapes and layouts at large are tests/runtime's.
#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "check.h"
#include "cpu/attention.h"
#include "cpu/kernels/types.h"
#include "cpu/packing.h"
#include "cpu/product.h"
#include "cpu/stages.h"
#include "every_isa.h"

namespace dvm {
namespace {

constexpr std::int64_t kFloat = sizeof(float);

void run(const cpu::Tiled& tiled, std::vector<void*> arguments) {
  tiled.run({arguments.data(), nullptr}, 0, tiled.blocks());
}

template <class T>
T random_element() {
  static std::mt19937 random(5);
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(random());
  } else {
    const float value = static_cast<float>(random() % 2000) / 1000.0f - 1.0f;
    if constexpr (std::is_same_v<T, semantics::bfloat16>)
      return semantics::narrow_bfloat16(value);
    else if constexpr (std::is_same_v<T, semantics::float16>)
      return semantics::narrow_float16(value);
    else
      return static_cast<T>(value);
  }
}

template <class T>
double number(T value) {
  if constexpr (std::is_arithmetic_v<T>)
    return static_cast<double>(value);
  else
    return semantics::widen(value);
}

template <class T>
std::vector<T> random_elements(std::int64_t count) {
  std::vector<T> values;
  values.reserve(static_cast<std::size_t>(count));
  while (static_cast<std::int64_t>(values.size()) < count) values.push_back(random_element<T>());
  return values;
}

// b is [n, k] if `turned`, as the weight of a linear layer is, and if `packed` it is packed first.
template <class A, class B, class Sum>
void check_product(int types, std::int64_t m, std::int64_t n, std::int64_t k, bool turned,
                   bool packed) {
  constexpr std::int64_t kA = sizeof(A), kB = sizeof(B), kSum = sizeof(Sum);
  std::vector<A> a = random_elements<A>(m * k);
  std::vector<B> b = random_elements<B>(k * n);
  std::vector<Sum> c(static_cast<std::size_t>(m * n));
  cpu::ProductShape shape;
  shape.types = types;
  shape.m = m, shape.n = n, shape.k = k;
  shape.a = {k * kA, 0};
  shape.a_k = kA;
  shape.b = {0, turned ? k * kB : kB};
  shape.b_k = turned ? kB : n * kB;
  const cpu::PackForm form{types, n, k, shape.b.back(), shape.b_k};
  std::vector<std::byte> panels;
  if (packed) {
    if (!cpu::packs(form, *cpu::isa().kernels)) return;
    const cpu::KernelTable& kernels = *cpu::isa().kernels;
    const std::int64_t bytes = cpu::packed_bytes(form, kernels);
    panels.resize(static_cast<std::size_t>(bytes));
    cpu::pack(form, kernels, b.data(), panels.data(), 0,
              bytes / cpu::panel_bytes(types, k, kernels));
    shape.packed = true;
    shape.b = {0, 0};
  }
  if (!cpu::Product::takes(shape, *cpu::isa().kernels)) return;  // a plan would copy b
  cpu::Product product(shape, *cpu::isa().kernels);
  product.write({n * kSum, kSum});
  run(product, {a.data(), packed ? static_cast<void*>(panels.data()) : static_cast<void*>(b.data()),
                c.data()});
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      double wanted = 0;
      for (std::int64_t l = 0; l < k; ++l)
        wanted += number(a[i * k + l]) * number(b[turned ? j * k + l : l * n + j]);
      const double off = std::abs(number(c[i * n + j]) - wanted);
      const bool exact = std::is_integral_v<Sum>;
      const double bound =
          exact ? 0 : 1e-5 * static_cast<double>(k + 1) * (sizeof(B) == 1 ? 128 : 1);
      if (!CHECK(off <= bound)) return;
    }
  }
}

void check_product(std::int64_t m, std::int64_t n, std::int64_t k, bool turned,
                   bool packed = false) {
  int types = 0;
#define PRODUCT(a, b, sum)                                                                         \
  check_product<cpu::CType<Type::a>, cpu::CType<Type::b>, cpu::CType<Type::sum>>(types++, m, n, k, \
                                                                                 turned, packed);
#include "isa/products.def"
}

// Weights [n, k] of 8 or 4 bits, with a scale for each group of some elements along k.
void check_scaled(int bits, std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t group) {
  const std::int64_t row = k * bits / 8, groups = std::max<std::int64_t>(k / group, 1);
  std::vector<float> a = random_floats(m * k), scales = random_floats(n * groups), c(m * n);
  std::vector<std::uint8_t> b = random_elements<std::uint8_t>(n * row);
  cpu::ProductShape shape;
  shape.types = product_of(Type::f32, Type::i8);
  shape.bits = bits;
  shape.m = m, shape.n = n, shape.k = k;
  shape.a = {k * kFloat, 0};
  shape.a_k = kFloat;
  shape.b = {0, row};
  shape.b_k = 1;
  shape.scales = {0, groups * kFloat};
  shape.scales_k = kFloat;
  shape.groups = groups;
  cpu::Product product(shape, *cpu::isa().kernels);
  product.write({n * kFloat, kFloat});
  run(product, {a.data(), b.data(), scales.data(), c.data()});
  const auto weight = [&](std::int64_t j, std::int64_t l) {
    const int halves = b[j * row + l * bits / 8] >> (l % 2 * 4) & 15;
    const int whole = bits == 8 ? static_cast<std::int8_t>(b[j * row + l]) : halves - 8;
    return static_cast<double>(whole) * scales[j * groups + l / group];
  };
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      double wanted = 0;
      for (std::int64_t l = 0; l < k; ++l) wanted += a[i * k + l] * weight(j, l);
      if (!CHECK(std::abs(c[i * n + j] - wanted) < 1e-4 * static_cast<double>(k + 1))) return;
    }
  }
}

void check_attention(std::int64_t queries, std::int64_t keys, std::int64_t depth, bool causal) {
  std::vector<float> q = random_floats(queries * depth), k = random_floats(keys * depth);
  std::vector<float> v = random_floats(keys * depth), result(queries * depth);
  cpu::AttentionShape shape;
  shape.queries = queries, shape.keys = keys, shape.depth = shape.width = depth;
  shape.q = shape.k = shape.v = shape.result = {depth * kFloat};
  shape.causal = causal;
  const cpu::Attention attention(shape, *cpu::isa().kernels);
  run(attention, {q.data(), k.data(), v.data(), result.data()});
  for (std::int64_t i = 0; i < queries; ++i) {
    std::vector<double> shares;
    double total = 0;
    for (std::int64_t j = 0; j < (causal ? std::min(i + 1, keys) : keys); ++j) {
      double score = 0;
      for (std::int64_t d = 0; d < depth; ++d) score += q[i * depth + d] * k[j * depth + d];
      shares.push_back(std::exp(score));
      total += shares.back();
    }
    for (std::int64_t d = 0; d < depth; ++d) {
      double wanted = 0;
      for (std::size_t j = 0; j < shares.size(); ++j)
        wanted += shares[j] / total * v[static_cast<std::int64_t>(j) * depth + d];
      if (!CHECK(std::abs(result[i * depth + d] - wanted) < 1e-4)) return;
    }
  }
}

TEST(products_stay_inside_their_operands) {
  on_every_isa([] {
    for (const std::int64_t m : {1, 2, 4, 7, 13, 100}) {
      for (const std::int64_t n : {1, 5, 16, 33, 67}) {
        for (const std::int64_t k : {0, 1, 3, 15, 17, 67}) {
          check_product(m, n, k, true);
          check_product(m, n, k, false);
        }
      }
    }
    check_product(3, 9, 1600, true);
    check_product(3, 9, 600, false);
    check_product(9, 35, 1100, false);
    check_product(100, 35, 2101, true);
  });
}

TEST(products_with_packed_weights_stay_inside_their_operands) {
  on_every_isa([] {
    for (const bool turned : {true, false}) {
      for (const std::int64_t m : {1, 3, 8, 9, 20, 133}) {
        check_product(m, 64, 256, turned, true);
        check_product(m, 131, 301, turned, true);
        check_product(m, 35, 1023, turned, true);
        check_product(m, 33, 2101, turned, true);
      }
      check_product(11, 16411, 1, turned, true);
    }
  });
}

TEST(products_with_scales_stay_inside_their_operands) {
  on_every_isa([] {
    for (const int bits : {8, 4}) {
      for (const std::int64_t m : {1, 2, 3, 4, 5, 100}) {
        for (const std::int64_t n : {1, 5, 34}) {
          check_scaled(bits, m, n, 0, 1);
          check_scaled(bits, m, n, 2, 1);
          check_scaled(bits, m, n, 66, 33);
          check_scaled(bits, m, n, 160, 32);
          check_scaled(bits, m, n, 192, 64);
          check_scaled(bits, m, n, 1154, 1154);
        }
      }
      check_scaled(bits, 2, 9, 2304, 128);
    }
  });
}

TEST(attention_stays_inside_its_operands) {
  on_every_isa([] {
    for (const std::int64_t queries : {1, 7, 9, 17, 70}) {
      for (const std::int64_t keys : {1, 5, 129}) {
        for (const std::int64_t depth : {1, 8, 19}) {
          check_attention(queries, keys, depth, false);
          check_attention(queries, keys, depth, true);
        }
      }
    }
  });
}

}  // namespace
}  // namespace dvm
