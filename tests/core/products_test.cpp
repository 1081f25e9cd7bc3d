// Matrix products and attention in memory that ends where they end: for the sanitizers, on every build of the kernels that
// this CPU runs. Shapes and layouts at large are tests/runtime's.
#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "cpu/attention.h"
#include "cpu/dispatch.h"
#include "cpu/product.h"
#include "cpu/stages.h"

namespace dvm {
namespace {

constexpr std::int64_t kFloat = sizeof(float);

std::vector<float> random_floats(std::int64_t count) {
  static std::mt19937 random(3);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(random() % 2000) / 1000.0f - 1.0f;
  return values;
}

void run(const cpu::Tiled& tiled, std::vector<void*> arguments) {
  tiled.run({arguments.data(), nullptr}, 0, tiled.blocks());
}

// b is [n, k] if `turned`, as the weight of a linear layer is.
void check_product(std::int64_t m, std::int64_t n, std::int64_t k, bool turned) {
  std::vector<float> a = random_floats(m * k), b = random_floats(k * n), c(m * n);
  cpu::ProductShape shape;
  shape.m = m, shape.n = n, shape.k = k;
  shape.a = {k * kFloat, 0};
  shape.a_k = kFloat;
  shape.b = {0, turned ? k * kFloat : kFloat};
  shape.b_k = turned ? kFloat : n * kFloat;
  cpu::Product product(shape, *cpu::isa().kernels);
  product.write({n * kFloat, kFloat});
  run(product, {a.data(), b.data(), c.data()});
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      double wanted = 0;
      for (std::int64_t l = 0; l < k; ++l)
        wanted += a[i * k + l] * b[turned ? j * k + l : l * n + j];
      if (!CHECK(std::abs(c[i * n + j] - wanted) < 1e-5 * static_cast<double>(k + 1))) return;
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

template <class Check>
void on_every_isa(Check check) {
  const std::string before(cpu::isa().name);
  for (const std::string_view name : cpu::available_isas()) {
    cpu::choose_isa(name);
    check();
  }
  cpu::choose_isa(before);
}

TEST(products_stay_inside_their_operands) {
  on_every_isa([] {
    for (const std::int64_t m : {1, 2, 7, 13, 130}) {
      for (const std::int64_t n : {1, 5, 16, 33, 131}) {
        for (const std::int64_t k : {0, 1, 15, 17, 64}) {
          check_product(m, n, k, true);
          check_product(m, n, k, false);
        }
      }
    }
    check_product(3, 9, 1600, true);
    check_product(3, 9, 600, false);
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
