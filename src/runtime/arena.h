// Memory that a call needs besides its inputs and outputs: intermediates between kernels and workspace within one.
// Offsets are fixed when a plan is made, so that a call makes at most one allocation, and repeated calls none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace dvm {

/// Gives blocks whose lifetimes (in steps, both ends included) do not meet the same place.
class ArenaLayout {
 public:
  /// A block that is written in step `step`; returns its number.
  int add(std::int64_t bytes, int step);
  /// Block `block` is needed in step `step` too.
  void use(int block, int step);
  /// The last step that needs it, as far as has been said.
  int last(int block) const { return blocks_[block].last; }
  /// Nobody needs it after all.
  void drop(int block) { blocks_[block].bytes = 0; }
  /// Steps that run at once: `ranges` holds the first and last of those that overlap with each step.
  void widen(std::span<const std::pair<int, int>> ranges);
  /// Chooses the offsets; returns the bytes needed in all.
  std::int64_t assign();
  std::int64_t offset(int block) const { return blocks_[block].offset; }

 private:
  struct Block {
    std::int64_t bytes;
    int first, last;
    std::int64_t offset;
  };
  std::vector<Block> blocks_;
};

/// At least `bytes` bytes, aligned to a cache line. The calling thread keeps them for its next call, unless they are
/// many: see kept_arena_bytes.
class Arena {
 public:
  explicit Arena(std::int64_t bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  std::byte* data() const { return data_; }

  /// What the calling thread keeps: as much as the largest call that it has made needed.
  static std::int64_t kept_bytes();

 private:
  std::byte* data_ = nullptr;
  bool owned_ = false;
};

/// The most that a thread keeps between calls.
inline constexpr std::int64_t kept_arena_bytes = std::int64_t{64} << 20;

}  // namespace dvm
