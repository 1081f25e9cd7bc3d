#include "runtime/arena.h"

#include <algorithm>
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

std::int64_t ArenaLayout::assign() {
  std::int64_t total = 0;
  std::vector<const Block*> alive;  // by offset
  for (Block& block : blocks_) {    // by first step, as they were added
    std::erase_if(alive, [&](const Block* other) { return other->last < block.first; });
    std::int64_t offset = 0;
    auto place = alive.begin();
    while (place != alive.end() && (*place)->offset - offset < block.bytes) {
      offset = (*place)->offset + (*place)->bytes;
      ++place;
    }
    block.offset = offset;
    alive.insert(place, &block);
    total = std::max(total, offset + block.bytes);
  }
  return total;
}

Arena::Arena(std::int64_t bytes) {
  if (bytes == 0) return;
  owned_ = kept.lent || bytes > kept_arena_bytes;
  if (owned_) {
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

}  // namespace dvm
