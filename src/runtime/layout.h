// Where the elements of a tensor lie: sizes and byte strides, and what views do to them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace dvm {

inline constexpr int kMaxRank = 16;

/// Sizes and byte strides, outermost first. The stride of an axis of size 1 means nothing.
struct Layout {
  int rank = 0;
  std::int64_t sizes[kMaxRank] = {};
  std::int64_t strides[kMaxRank] = {};

  std::int64_t elements() const;
  /// Row-major without gaps.
  bool contiguous(std::int64_t element_bytes) const;
};

/// Whether the last axis has no gaps.
bool contiguous_at_end(const Layout& layout, std::int64_t element_bytes);

/// A Layout that lies elsewhere, in no more memory than its rank asks for.
struct LayoutView {
  int rank = 0;
  const std::int64_t* sizes = nullptr;
  const std::int64_t* strides = nullptr;

  std::int64_t elements() const;
};

/// A layout without gaps. `order` lists the axes from the outermost in memory to the innermost; empty means as indexed.
Layout dense(std::span<const std::int64_t> sizes, std::int64_t element_bytes,
             std::span<const int> order = {});

Layout permute(const Layout& from, std::span<const int> axes);
/// Broadcasts to `sizes`, aligned at the right.
Layout expand(const Layout& from, std::span<const std::int64_t> sizes);
/// The same elements in the same row-major order under other sizes; nothing when only a copy can do that.
std::optional<Layout> reshape(const Layout& from, std::span<const std::int64_t> sizes,
                              std::int64_t element_bytes);

}  // namespace dvm
