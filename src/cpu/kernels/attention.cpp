// The loops of attention around its two matrix products.
#include <algorithm>
#include <cstdint>
#include <limits>

#include "cpu/kernels/install.h"
#include "semantics/exponential.h"

namespace dvm::cpu {
namespace {

constexpr float kNothing = -std::numeric_limits<float>::infinity();

void turn(const QueryTile& t) {
  if (t.to_query != 1) {
    for (std::int64_t i = 0; i < t.queries; ++i) {
      for (std::int64_t d = 0; d < t.depth; ++d)
        t.to[d * t.to_row + i * t.to_query] = t.from[i * t.from_row + d] * t.scale;
    }
    return;
  }
  for (std::int64_t d = 0; d < t.depth; ++d) {
    float* const to = t.to + d * t.to_row;
    const float* const from = t.from + d;
    for (std::int64_t i = 0; i < t.queries; ++i) to[i] = from[i * t.from_row] * t.scale;
  }
}

void add_mask(const ScoreTile& t) {
  for (std::int64_t j = 0; j < t.keys; ++j) {
    float* const row = t.scores + j * t.score_row;
    const float* const mask = t.mask + j * t.mask_key;
    if (t.mask_query == 0) {
      const float same = *mask;
      for (std::int64_t i = 0; i < t.queries; ++i) row[i] += same;
    } else {
      for (std::int64_t i = 0; i < t.queries; ++i) row[i] += mask[i * t.mask_query];
    }
  }
}

void hide_later_keys(const ScoreTile& t) {
  for (std::int64_t j = 0; j < t.keys; ++j) {
    float* const row = t.scores + j * t.score_row;
    std::fill(row, row + std::clamp<std::int64_t>(t.first + j, 0, t.queries), kNothing);
  }
}

void scores(const ScoreTile& t) {
  if (t.mask != nullptr) add_mask(t);
  if (t.causal) hide_later_keys(t);
  const std::int64_t count = t.queries;
  float* const __restrict most = t.most;
  float* const __restrict less = t.less;
  float* const __restrict total = t.total;
  std::copy(t.largest, t.largest + count, most);
  for (std::int64_t j = 0; j < t.keys; ++j) {
    const float* const __restrict row = t.scores + j * t.score_row;
    for (std::int64_t i = 0; i < count; ++i) most[i] = row[i] > most[i] ? row[i] : most[i];
  }
  bool scales = false;
  for (std::int64_t i = 0; i < count; ++i) {
    scales = scales || (t.largest[i] != most[i] && t.largest[i] > kNothing);
    less[i] = most[i] > kNothing ? semantics::exp{}(t.largest[i] - most[i]) : 1.0f;
    total[i] *= less[i];
    t.largest[i] = most[i];
    most[i] = most[i] > kNothing ? most[i] : 0.0f;  // a query that sees nothing: exp(-inf) is 0
  }
  for (std::int64_t j = 0; j < t.keys; ++j) {
    float* const __restrict row = t.scores + j * t.score_row;
    for (std::int64_t i = 0; i < count; ++i) {
      row[i] = semantics::exp{}(row[i] - most[i]);
      total[i] += row[i];
    }
  }
  if (!scales) return;
  for (std::int64_t i = 0; i < count; ++i) {
    float* const result = t.result + i * t.depth;
    for (std::int64_t e = 0; e < t.depth; ++e) result[e] *= less[i];
  }
}

void shares(const ShareTile& t) {
  for (std::int64_t r = 0; r < t.rows; ++r) {
    const float* const from = t.result + r * t.depth;
    float* const to = t.to + r * t.to_row;
    const float factor = t.total[r] == 0 ? 0.0f : 1.0f / t.total[r];
    for (std::int64_t i = 0; i < t.depth; ++i) to[i] = from[i] * factor;
  }
}

}  // namespace

void install_attention(KernelTable& table) { table.attention = {turn, scores, shares}; }

}  // namespace dvm::cpu
