#include "runtime/arena.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <new>

namespace dvm {
namespace {

constexpr std::int64_t kAlignment = 64;
constexpr std::align_val_t kAligned{static_cast<std::size_t>(kAlignment)};

struct Free {
  void operator()(std::byte* data) const { ::operator delete(data, kAligned); }
};

// What the thread keeps. It is lent to one Arena at a time; an Arena within another takes memory of its own.
struct Kept {
  std::unique_ptr<std::byte, Free> data;
  std::int64_t bytes = 0;
  bool lent = false;
};
thread_local Kept kept;

std::byte* allocate(std::int64_t bytes) {
  return static_cast<std::byte*>(::operator new(static_cast<std::size_t>(bytes), kAligned));
}

}  // namespace

int ArenaLayout::add(std::int64_t bytes, int step) {
  bytes = (std::max<std::int64_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  blocks_.push_back({bytes, step, step, 0});
  return static_cast<int>(blocks_.size()) - 1;
}

void ArenaLayout::use(int block, int step) {
  blocks_[block].last = std::max(blocks_[block].last, step);
}

void ArenaLayout::widen(std::span<const std::pair<int, int>> ranges) {
  for (Block& block : blocks_) {
    block.first = ranges[block.first].first;
    block.last = ranges[block.last].second;
  }
}

// The largest first, each at the lowest place that is free while it lives: small ones fill the gaps (Pisarchyk and Lee,
// "Efficient memory management for deep neural net inference", 2020, section 5.2).
std::int64_t ArenaLayout::assign() {
  std::vector<Block*> by_size;
  by_size.reserve(blocks_.size());
  for (Block& block : blocks_) by_size.push_back(&block);
  std::ranges::stable_sort(by_size, std::ranges::greater{}, &Block::bytes);
  std::int64_t total = 0;
  std::vector<const Block*> placed;  // by offset
  placed.reserve(blocks_.size());
  for (Block* const block : by_size) {
    std::int64_t offset = 0;
    for (const Block* const other : placed) {
      if (other->last < block->first || block->last < other->first) continue;
      if (other->offset - offset >= block->bytes) break;
      offset = std::max(offset, other->offset + other->bytes);
    }
    block->offset = offset;
    placed.insert(std::ranges::upper_bound(placed, offset, {}, &Block::offset), block);
    total = std::max(total, offset + block->bytes);
  }
  return total;
}

Arena::Arena(std::int64_t bytes) {
  if (bytes == 0) return;
  owned_ = kept.lent || bytes > kept_arena_bytes;
  if (owned_) {
    if (!kept.lent) {  // of no use to this call, which needs much
      kept.data.reset();
      kept.bytes = 0;
    }
    data_ = allocate(bytes);
    return;
  }
  if (bytes > kept.bytes) {
    kept.data.reset();
    kept.bytes = 0;
    kept.data.reset(allocate(bytes));
    kept.bytes = bytes;
  }
  kept.lent = true;
  data_ = kept.data.get();
}

Arena::~Arena() {
  if (owned_) {
    Free{}(data_);
  } else if (data_ != nullptr) {
    kept.lent = false;
  }
}

std::int64_t Arena::kept_bytes() { return kept.bytes; }

}  // namespace dvm
