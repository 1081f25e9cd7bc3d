// The loops of attention around its two matrix products.
#include <algorithm>
#include <cstdint>
#include <limits>

#include "cpu/kernels/install.h"
#include "cpu/kernels/transpose.h"
#include "semantics/exponential.h"

namespace dvm::cpu {
namespace {

constexpr std::int64_t kFloat = sizeof(float);
constexpr float kNothing = -std::numeric_limits<float>::infinity();

void turn(const QueryTile& t) {
  if (t.to_query != 1) {
    for (std::int64_t i = 0; i < t.queries; ++i) {
      for (std::int64_t d = 0; d < t.depth; ++d)
        t.to[d * t.to_row + i * t.to_query] = t.from[i * t.from_row + d] * t.scale;
    }
    return;
  }
  transpose(reinterpret_cast<std::uint32_t*>(t.to), t.to_row * kFloat,
            reinterpret_cast<const std::uint32_t*>(t.from), t.from_row * kFloat, t.depth,
            t.queries);
  for (std::int64_t d = 0; d < t.depth; ++d) {
    float* const to = t.to + d * t.to_row;
    for (std::int64_t i = 0; i < t.queries; ++i) to[i] *= t.scale;
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

void hide_unseen(const ScoreTile& t) {
  for (std::int64_t j = 0; j < t.keys; ++j) {
    float* const row = t.scores + j * t.score_row;
    const std::uint8_t* const seen = t.seen + j * t.mask_key;
    if (t.mask_query == 0) {
      if (*seen == 0) std::fill(row, row + t.queries, t.hidden);
    } else {
      for (std::int64_t i = 0; i < t.queries; ++i)
        row[i] = seen[i * t.mask_query] != 0 ? row[i] : t.hidden;
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
  if (t.seen != nullptr) hide_unseen(t);
  if (t.causal) hide_later_keys(t);
  const std::int64_t count = t.padded;
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
  for (std::int64_t i = 0; i < t.queries; ++i) {
    float* const result = t.result + i * t.depth;
    for (std::int64_t e = 0; e < t.depth; ++e) result[e] *= less[i];
  }
}

constexpr std::int64_t kWide = 16;

// What folds a row of whole vectors: a lane for each element of one, joined in a fixed order.
template <class Join>
float folded(const float* row, std::int64_t count, float start, Join join) {
  float lanes[kWide];
  std::fill(lanes, lanes + kWide, start);
  for (std::int64_t j = 0; j < count; j += kWide) {
    for (std::int64_t l = 0; l < kWide; ++l) lanes[l] = join(lanes[l], row[j + l]);
  }
  for (std::int64_t half = kWide / 2; half > 0; half /= 2) {
    for (std::int64_t l = 0; l < half; ++l) lanes[l] = join(lanes[l], lanes[l + half]);
  }
  return lanes[0];
}

void add_mask_of_one(const ScoreTile& t, std::int64_t i, float* __restrict row) {
  const float* const __restrict mask = t.mask + i * t.mask_query;
  if (t.mask_key == 1) {
    for (std::int64_t j = 0; j < t.keys; ++j) row[j] += mask[j];
  } else {
    for (std::int64_t j = 0; j < t.keys; ++j) row[j] += mask[j * t.mask_key];
  }
}

void hide_unseen_of_one(const ScoreTile& t, std::int64_t i, float* row) {
  const std::uint8_t* const seen = t.seen + i * t.mask_query;
  for (std::int64_t j = 0; j < t.keys; ++j) row[j] = seen[j * t.mask_key] != 0 ? row[j] : t.hidden;
}

void few_scores(const ScoreTile& t) {
  for (std::int64_t i = 0; i < t.queries; ++i) {
    float* const __restrict row = t.scores + i * t.score_row;
    if (t.mask != nullptr) add_mask_of_one(t, i, row);
    if (t.seen != nullptr) hide_unseen_of_one(t, i, row);
    if (t.causal)
      std::fill(row + std::clamp<std::int64_t>(i - t.first + 1, 0, t.keys), row + t.keys, kNothing);
    const std::int64_t keys = (t.keys + kWide - 1) / kWide * kWide;
    std::fill(row + t.keys, row + keys, kNothing);
    const float before = t.largest[i];
    const float most = folded(row, keys, before, [](float a, float b) { return b > a ? b : a; });
    const float less = most > kNothing ? semantics::exp{}(before - most) : 1.0f;
    const float taken = most > kNothing ? most : 0.0f;
    for (std::int64_t j = 0; j < keys; ++j) row[j] = semantics::exp{}(row[j] - taken);
    t.total[i] =
        t.total[i] * less + folded(row, keys, 0.0f, [](float a, float b) { return a + b; });
    t.largest[i] = most;
    if (before == most || !(before > kNothing)) continue;
    float* const __restrict result = t.result + i * t.depth;
    for (std::int64_t e = 0; e < t.depth; ++e) result[e] *= less;
  }
}

void shares(const ShareTile& t) {
  for (std::int64_t r = 0; r < t.rows; ++r) {
    const float* const from = t.result + r * t.depth;
    float* const to = t.to + r * t.to_row;
    const float factor = t.total[r] == 0 ? t.blind : 1.0f / t.total[r];
    for (std::int64_t i = 0; i < t.depth; ++i) to[i] = from[i] * factor;
  }
}

}  // namespace

void install_attention(KernelTable& table) { table.attention = {turn, scores, few_scores, shares}; }

}  // namespace dvm::cpu
