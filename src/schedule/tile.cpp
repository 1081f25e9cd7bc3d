#include "schedule/tile.h"

#include <algorithm>

namespace dvm {
namespace {

// Without reductions a tile is small enough for a processor to load the next one while it stores this one: with two
// or four times as many elements, programs that wait for memory take up to 1.4 times as long.
constexpr std::int64_t kElements = 1024;
// A tile across which rows are read by one tensor and columns by another is a square.
constexpr std::int64_t kTransposedElements = 4096;
// With reductions, several rows to a tile spare calls. Live tile registers and the operands in memory share the
// first-level cache (32-48 KiB).
constexpr std::int64_t kTileBytes = 40 << 10;
constexpr std::int64_t kMinElements = 1024;
constexpr std::int64_t kMaxElements = 2048;
// Without registers there is nothing to keep in the cache: instructions go from memory to memory.
constexpr std::int64_t kUnbufferedElements = 8192;
// A reduced row up to this length is one chunk: its values stay in registers between the passes over it.
constexpr std::int64_t kResidentCols = 8192;
// A tile of a column reduction reads long runs of memory; straight from there, it may be tall as well.
constexpr std::int64_t kColumnCols = 1024;
constexpr std::int64_t kColumnElements = 64 << 10;
// Columns up to this length are resident, in tiles of at least a cache line or two.
constexpr std::int64_t kResidentRows = 128;
constexpr std::int64_t kLineCols = 32;
// Strided access in both directions goes through square-ish tiles, so that every cache line is used up at once.
constexpr std::int64_t kTransposedCols = 64;

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return b == 0 ? 0 : (a + b - 1) / b; }

// Blocks of at most `limit`, of nearly equal size, so that no tail is a sliver.
std::int64_t even_block(std::int64_t extent, std::int64_t limit) {
  if (extent <= limit) return std::max<std::int64_t>(extent, 1);
  const std::int64_t block = ceil_div(extent, ceil_div(extent, limit));
  return std::min((block + 63) / 64 * 64, std::max<std::int64_t>(limit, 1));
}

bool unit(const Access& access, int axis) {
  return access.bytes != 0 && access.strides[axis] == access.bytes;
}

// The axis along which most data is contiguous; the innermost when none is.
int column_axis(const Space& space) {
  const int n = space.loops;
  int best = n - 1;
  std::int64_t most = 0;
  for (int axis = n - 1; axis >= 0; --axis) {
    std::int64_t bytes = 0;
    for (const auto* list : {&space.outputs, &space.inputs}) {
      for (const Access& access : *list)
        bytes += unit(access, axis) ? access.footprint * access.bytes : 0;
    }
    if (bytes > most) most = bytes, best = axis;
  }
  return best;
}

// An axis along which some tensor is contiguous that is strided along the columns.
int transposed_axis(const Space& space, int col) {
  for (const auto* list : {&space.outputs, &space.inputs}) {
    for (const Access& access : *list) {
      if (access.bytes == 0 || access.strides[col] == 0 || unit(access, col)) continue;
      for (int axis = space.loops - 1; axis >= 0; --axis) {
        if (axis != col && unit(access, axis)) return axis;
      }
    }
  }
  return -1;
}

// The innermost axis but `col` with the given role.
int inner_axis(const Space& space, int col, Role role) {
  for (int axis = space.loops - 1; axis >= 0; --axis) {
    if (axis != col && space.axes[axis].role == role) return axis;
  }
  return -1;
}

}  // namespace

Tiling choose_tile(const Space& space, const TileNeeds& needs) {
  Tiling tile;
  if (space.loops == 0) return tile;
  tile.col = column_axis(space);
  const bool reduces = space.reduced != 0;
  const bool row_reduction = reduces && space.axes[tile.col].role == Role::kReduce;
  const int transposed = transposed_axis(space, tile.col);
  std::int64_t elements = reduces && !row_reduction ? kColumnElements : kUnbufferedElements;
  if (needs.registers > 0 || needs.again) {
    const std::int64_t places = std::max(needs.registers + needs.operands, 1);
    elements = transposed >= 0 ? kTransposedElements : kElements;
    if (reduces)
      elements = std::clamp(kTileBytes / (needs.element * places), kMinElements, kMaxElements);
  }
  std::int64_t max_cols = elements;
  if (!reduces) {
    tile.row = transposed >= 0 ? transposed : inner_axis(space, tile.col, Role::kParallel);
    if (transposed >= 0) max_cols = kTransposedCols;
  } else if (row_reduction) {
    tile.row = inner_axis(space, tile.col, Role::kParallel);
    // Of several reduced axes, kept apart by an operand that varies along one of them (the weights of a group norm),
    // the inner two make the tile: together they are one long row.
    const bool nested = tile.col > 0 && space.axes[tile.col - 1].role == Role::kReduce;
    if (nested && space.axes[tile.col].extent < elements) tile.row = tile.col - 1;
    if (tile.row < 0) tile.row = inner_axis(space, tile.col, Role::kReduce);
    max_cols = std::max(elements, kResidentCols);
    if (space.axes[tile.col].extent > kResidentCols) max_cols = elements;
    if (transposed >= 0 && transposed == tile.row) max_cols = std::min(max_cols, elements);
  } else {
    tile.row = inner_axis(space, tile.col, Role::kReduce);
    max_cols = kColumnCols;
    // Short columns stay resident: fewer of them at a time, but each as a whole.
    const std::int64_t height = space.axes[tile.row].extent;
    if (needs.again && height <= kResidentRows)
      max_cols = std::max(elements / std::max<std::int64_t>(height, 1), kLineCols);
  }

  tile.cols = even_block(space.axes[tile.col].extent, max_cols);
  if (tile.row >= 0) {
    tile.rows =
        even_block(space.axes[tile.row].extent, std::max<std::int64_t>(elements / tile.cols, 1));
    tile.rows = std::min(tile.rows, std::max<std::int64_t>(elements / tile.cols, 1));
  }
  for (int axis = 0; axis < space.loops; ++axis) {
    const Axis& each = space.axes[static_cast<std::size_t>(axis)];
    const std::int64_t block = axis == tile.col ? tile.cols : axis == tile.row ? tile.rows : 1;
    const std::int64_t count = ceil_div(each.extent, block);
    (each.role == Role::kReduce ? tile.chunks : tile.blocks) *= count;
  }
  return tile;
}

}  // namespace dvm
