#include "cpu/attention.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "cpu/scratch.h"
#include "isa/program.h"

namespace dvm::cpu {
namespace {

// Scores of a block, the keys and the values that make them share the second-level cache.
constexpr std::int64_t kRows = 64;
constexpr std::int64_t kKeys = 128;
constexpr std::int64_t kKeysOfFew = 512;
// Fewer queries than this are no vector: then each is dotted with keys, and vectors lie along these.
constexpr std::int64_t kLeastVector = 8;
constexpr std::int64_t kVector = 16;
// What a score costs besides its products, in units of Routine::work.
constexpr double kWorkPerScore = 8;

const std::byte* at(const Launch& launch, int argument, std::int64_t offset) {
  return static_cast<const std::byte*>(launch.arguments[argument]) + offset;
}

constexpr std::int64_t kFloat = sizeof(float);

std::int64_t whole_vectors(std::int64_t count) { return (count + kVector - 1) / kVector * kVector; }

// exp(-kNoShare) is 0 in f32.
constexpr float kNoShare = 104;

enum class Sight : std::uint8_t { none, some, all };

// How many of `keys` so many queries see, where that is told at a glance. Steps are in bytes.
Sight sight_of(const std::uint8_t* seen, std::int64_t queries, std::int64_t query,
               std::int64_t keys, std::int64_t key) {
  if (key > 1) return Sight::some;
  const auto count = static_cast<std::size_t>(key == 0 ? 1 : keys);
  bool all = true, none = true;
  for (std::int64_t i = 0; i < (query == 0 ? 1 : queries) && (all || none); ++i) {
    all = all && std::memchr(seen + i * query, 0, count) == nullptr;
    none = none && std::memchr(seen + i * query, 1, count) == nullptr;
  }
  return all ? Sight::all : none ? Sight::none : Sight::some;
}

}  // namespace

// Rows [row, row + rows) of one head.
struct Attention::Block {
  std::int64_t batch[kMaxAxes] = {};
  std::int64_t row = 0, rows = 0;
};

// What is known of the queries of a block by now, in the room that run() gives it.
struct Attention::Sums {
  Sums(float* room, std::int64_t of_scores, std::int64_t rows, std::int64_t depth,
       std::int64_t width)
      : scores(room),
        turned(scores + of_scores),
        result(turned + rows * depth),
        largest(result + rows * width),
        total(largest + rows) {}

  float* scores;  // of a block of keys
  float* turned;  // the queries
  float *result, *largest, *total;
};

Attention::Attention(AttentionShape shape, const KernelTable& kernels)
    : shape_(std::move(shape)),
      scores_(kernels.matrix[product_of(shape_.k_type, Type::f32)]),
      few_scores_(kernels.matrix[product_of(Type::f32, shape_.k_type)]),
      values_(kernels.matrix[product_of(Type::f32, shape_.v_type)]),
      kernels_(kernels.attention) {
  const std::int64_t parts = (shape_.queries + kRows - 1) / kRows;
  rows_ = parts > 0 ? (shape_.queries + parts - 1) / parts : 1;
  if (rows_ >= kLeastVector) rows_ = whole_vectors(rows_);
  scores_room_ = std::max(rows_ * kKeys, std::min(rows_, kLeastVector - 1) * kKeysOfFew);
  blocks_of_rows_ = (shape_.queries + rows_ - 1) / rows_;
  double heads = 1;
  blocks_ = blocks_of_rows_;
  for (const std::int64_t size : shape_.batch) {
    blocks_ *= size;
    heads *= static_cast<double>(size);
  }
  if (shape_.width == 0) blocks_ = 0;
  const double scores =
      heads * static_cast<double>(shape_.queries) * static_cast<double>(shape_.keys);
  work_ = scores *
          (static_cast<double>(shape_.depth + shape_.width) / kProductsPerWork + kWorkPerScore);
}

std::int64_t Attention::offset(const HeadStrides& strides, const Block& block) const {
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < shape_.batch.size(); ++i) bytes += block.batch[i] * strides[i];
  return bytes;
}

void Attention::run(const Launch& launch, std::int64_t first, std::int64_t end) const {
  thread_local Scratch scratch;
  const std::int64_t floats = scores_room_ + rows_ * (shape_.depth + shape_.width + 4);
  auto* const memory =
      reinterpret_cast<float*>(scratch.get(static_cast<std::size_t>(floats * kFloat)));
  for (std::int64_t n = first; n < end; ++n) {
    Block block;
    block.row = n % blocks_of_rows_ * rows_;
    block.rows = std::min(rows_, shape_.queries - block.row);
    std::int64_t left = n / blocks_of_rows_;
    for (std::size_t i = shape_.batch.size(); i-- > 0;) {
      block.batch[i] = left % shape_.batch[i];
      left /= shape_.batch[i];
    }
    run_block(launch, block, memory);
  }
}

void Attention::run_block(const Launch& launch, const Block& block, float* scratch) const {
  const AttentionShape& s = shape_;
  const std::size_t heads = s.batch.size();
  const std::byte* const q = at(launch, 0, offset(s.q, block) + block.row * s.q[heads]);
  const Sums sums(scratch, scores_room_, rows_, s.depth, s.width);
  const bool vectors = block.rows >= kLeastVector;
  kernels_.turn({.from = reinterpret_cast<const float*>(q),
                 .from_row = s.q[heads] / kFloat,
                 .to = sums.turned,
                 .to_row = vectors ? rows_ : 1,
                 .to_query = vectors ? 1 : s.depth,
                 .queries = block.rows,
                 .depth = s.depth,
                 .scale = s.scale});
  if (!sum(launch, block, sums, true)) sum(launch, block, sums, false);
  auto* const to = static_cast<std::byte*>(launch.arguments[s.mask.empty() ? 3 : 4]) +
                   offset(s.result, block) + block.row * s.result[heads];
  const bool nan = s.nan_if_blind && s.keys > 0;
  kernels_.shares({.result = sums.result,
                   .total = sums.total,
                   .to = reinterpret_cast<float*>(to),
                   .to_row = s.result[heads] / kFloat,
                   .rows = block.rows,
                   .depth = s.width,
                   .blind = nan ? std::numeric_limits<float>::quiet_NaN() : 0.0f});
}

// Adds up what the queries see. If `skips`, keys that none of them sees are left out, and where these would have had a share
// all the same, because a query saw nothing else, this is false.
bool Attention::sum(const Launch& launch, const Block& block, const Sums& sums, bool skips) const {
  const AttentionShape& s = shape_;
  const std::size_t heads = s.batch.size();
  const std::byte* const k = at(launch, 1, offset(s.k, block));
  const std::byte* const v = at(launch, 2, offset(s.v, block));
  const std::int64_t bytes_of_k = dvm::bytes(s.k_type), bytes_of_v = dvm::bytes(s.v_type);
  const bool masked = !s.mask.empty(), hides = masked && s.mask_type == Type::bool_;
  const std::int64_t bytes_of_mask = dvm::bytes(s.mask_type);
  const std::byte* const mask =
      masked ? at(launch, 3, offset(s.mask, block) + block.row * s.mask[heads]) : nullptr;
  std::fill(sums.result, sums.result + block.rows * s.width, 0.0f);
  std::fill(sums.largest, sums.largest + rows_, -std::numeric_limits<float>::infinity());
  std::fill(sums.total, sums.total + rows_, 0.0f);
  const bool vectors = block.rows >= kLeastVector;
  const std::int64_t most_keys = vectors ? kKeys : kKeysOfFew;
  const std::int64_t padded = vectors ? whole_vectors(block.rows) : block.rows;
  for (std::int64_t j = 0; padded > block.rows && j < std::min(kKeys, s.keys); ++j)
    std::fill(sums.scores + j * rows_ + block.rows, sums.scores + j * rows_ + padded, 0.0f);
  bool skipped = false;
  // A causal block needs no keys beyond its last row.
  const std::int64_t keys = s.causal ? std::min(s.keys, block.row + block.rows) : s.keys;
  for (std::int64_t from = 0; from < keys; from += most_keys) {
    const std::int64_t count = std::min(most_keys, keys - from);
    const std::byte* const masks = masked ? mask + from * s.mask_col : nullptr;
    const auto* const seen = reinterpret_cast<const std::uint8_t*>(hides ? masks : nullptr);
    const Sight sight =
        hides ? sight_of(seen, block.rows, s.mask[heads], count, s.mask_col) : Sight::all;
    if (skips && sight == Sight::none) {
      skipped = true;
      continue;
    }
    const std::byte* const rows_of_k = k + from * s.k[heads];
    if (vectors) {
      scores_.outer({.a = rows_of_k,
                     .a_row = s.k[heads] / bytes_of_k,
                     .a_col = 1,
                     .b = sums.turned,
                     .b_row = rows_,
                     .b_col = 1,
                     .c = sums.scores,
                     .c_row = rows_,
                     .m = count,
                     .n = block.rows,
                     .k = s.depth});
    } else {
      few_scores_.dot({.a = sums.turned,
                       .a_row = s.depth,
                       .a_col = 1,
                       .b = rows_of_k,
                       .b_row = 1,
                       .b_col = s.k[heads] / bytes_of_k,
                       .c = sums.scores,
                       .c_row = kKeysOfFew,
                       .m = block.rows,
                       .n = count,
                       .k = s.depth});
    }
    (vectors ? kernels_.scores : kernels_.few_scores)(
        {.scores = sums.scores,
         .score_row = vectors ? rows_ : kKeysOfFew,
         .queries = block.rows,
         .keys = count,
         .padded = padded,
         .mask = reinterpret_cast<const float*>(hides ? nullptr : masks),
         .seen = sight == Sight::all ? nullptr : seen,
         .mask_query = masked ? s.mask[heads] / bytes_of_mask : 0,
         .mask_key = s.mask_col / bytes_of_mask,
         .hidden = s.hidden,
         .causal = s.causal,
         .first = from - block.row,
         .largest = sums.largest,
         .total = sums.total,
         .most = sums.total + rows_,
         .less = sums.total + 2 * rows_,
         .result = sums.result,
         .depth = s.width});
    values_.outer({.a = sums.scores,
                   .a_row = vectors ? 1 : kKeysOfFew,
                   .a_col = vectors ? rows_ : 1,
                   .b = v + from * s.v[heads],
                   .b_row = s.v[heads] / bytes_of_v,
                   .b_col = 1,
                   .c = sums.result,
                   .c_row = s.width,
                   .m = block.rows,
                   .n = s.width,
                   .k = count,
                   .adds = true});
  }
  if (!skipped || s.hidden == -std::numeric_limits<float>::infinity()) return true;
  return std::all_of(sums.largest, sums.largest + block.rows,
                     [&](float largest) { return largest - s.hidden > kNoShare; });
}

}  // namespace dvm::cpu
