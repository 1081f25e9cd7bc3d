// Scratch memory for the values of a Program: equal sizes are reused, the last one freed first, so that a chain
// of operations runs in place.
#pragma once

#include <cstdint>
#include <vector>

namespace dvm {

class Registers {
 public:
  static constexpr std::int64_t kAlignment = 64;

  /// The byte offset of a free piece of `bytes` bytes.
  std::int64_t take(std::int64_t bytes) {
    bytes = rounded(bytes);
    for (std::size_t i = free_.size(); i-- > 0;) {
      if (free_[i].bytes != bytes) continue;
      const std::int64_t offset = free_[i].offset;
      free_.erase(free_.begin() + static_cast<std::ptrdiff_t>(i));
      return offset;
    }
    const std::int64_t offset = total_;
    total_ += bytes;
    return offset;
  }

  void give_back(std::int64_t offset, std::int64_t bytes) {
    free_.push_back({offset, rounded(bytes)});
  }

  std::int64_t total() const { return total_; }

 private:
  struct Piece {
    std::int64_t offset, bytes;
  };
  static std::int64_t rounded(std::int64_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }

  std::vector<Piece> free_;
  std::int64_t total_ = 0;
};

}  // namespace dvm
