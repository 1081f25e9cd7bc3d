#include "cpu/matrix_tiles.h"

#include <algorithm>
#include <utility>

#include "cpu/held.h"
#include "cpu/interpreter.h"
#include "cpu/scratch.h"

namespace dvm::cpu {

MatrixTiles::MatrixTiles(std::vector<std::int64_t> batch, std::int64_t m, std::int64_t n,
                         std::int64_t element, int operands)
    : batch_(std::move(batch)), m_(m), n_(n), element_(element), operands_(operands) {}

std::int64_t MatrixTiles::cut(std::int64_t rows, std::int64_t cols, std::int64_t tile_row) {
  tile_m_ = rows;
  tile_n_ = cols;
  tile_row_ = tile_row > 0 ? tile_row : cols;
  tiles_m_ = (m_ + rows - 1) / rows;
  tiles_n_ = (n_ + cols - 1) / cols;
  blocks_ = tiles_m_ * tiles_n_;
  for (const std::int64_t size : batch_) blocks_ *= size;
  return blocks_;
}

std::int64_t MatrixTiles::rows(int cut) const {
  const std::int64_t last = m_ - (tiles_m_ - 1) * tile_m_;
  if ((cut & 1) != 0) return last == tile_m_ ? 0 : last;
  return tiles_m_ > 1 || last == tile_m_ ? tile_m_ : 0;
}

std::int64_t MatrixTiles::cols(int cut) const {
  const std::int64_t last = n_ - (tiles_n_ - 1) * tile_n_;
  if ((cut & 2) != 0) return last == tile_n_ ? 0 : last;
  return tiles_n_ > 1 || last == tile_n_ ? tile_n_ : 0;
}

void MatrixTiles::write(MatrixStrides result) { result_ = std::move(result); }

void MatrixTiles::finish(std::span<const std::vector<Word>> words,
                         std::vector<MatrixStrides> strides, const KernelTable& kernels) {
  epilogue_ = std::move(strides);
  std::size_t shapes = words.size();
  while (shapes > 0 && words[shapes - 1].empty()) --shapes;
  routines_.resize(shapes);
  for (std::size_t i = 0; i < shapes; ++i) {
    if (!words[i].empty()) routines_[i].bind(words[i], kernels);
  }
  if (!words[0].empty()) work_ += routines_[0].work * static_cast<double>(blocks_);
}

std::size_t MatrixTiles::bytes() const {
  std::size_t total = sizeof(MatrixTiles) + held_bytes(batch_) + held_bytes(result_) +
                      held_bytes(epilogue_) + held_bytes(routines_);
  for (const MatrixStrides& strides : epilogue_) total += held_bytes(strides);
  for (const Routine& routine : routines_) total += routine.bytes() - sizeof(routine);
  return total;
}

std::int64_t MatrixTiles::offset(const MatrixStrides& strides, const At& at) const {
  std::int64_t bytes = 0;
  const std::size_t batch = batch_.size();
  for (std::size_t i = 0; i < batch; ++i) bytes += at.batch[i] * strides[i];
  return bytes + at.row * strides[batch] + at.col * strides[batch + 1];
}

void MatrixTiles::run_epilogue(const Launch& launch, const At& at, void* tile) const {
  void* arguments[kMaxSlots];
  int next = operands_;
  for (std::size_t i = 0; i < epilogue_.size(); ++i) {
    arguments[i] = epilogue_[i].empty() ? tile
                                        : static_cast<std::byte*>(launch.arguments[next++]) +
                                              offset(epilogue_[i], at);
  }
  const Routine& routine = routines_[at.cut];
  run_blocks(routine, {arguments, launch.scalars}, 0, routine.blocks.total);
}

// Tiles of one column of tiles follow each other: they read the same piece of the right operand.
MatrixTiles::At MatrixTiles::at(std::int64_t block) const {
  At at;
  std::int64_t left = block;
  at.row = left % tiles_m_ * tile_m_;
  left /= tiles_m_;
  at.col = left % tiles_n_ * tile_n_;
  left /= tiles_n_;
  for (std::size_t i = batch_.size(); i-- > 0;) {
    at.batch[i] = left % batch_[i];
    left /= batch_[i];
  }
  at.rows = std::min(tile_m_, m_ - at.row);
  at.cols = std::min(tile_n_, n_ - at.col);
  at.cut = (at.rows < tile_m_ ? 1 : 0) | (at.cols < tile_n_ ? 2 : 0);
  return at;
}

void MatrixTiles::run(const Launch& launch, std::int64_t first, std::int64_t end) const {
  thread_local Scratch scratch;
  const bool apart = !epilogue_.empty();
  void* const memory = apart ? reinterpret_cast<void*>(scratch.get(
                                   static_cast<std::size_t>(tile_m_ * tile_row_ * element_)))
                             : nullptr;
  for (std::int64_t block = first; block < end; ++block) {
    const At here = at(block);
    if (apart) {
      compute(launch, here, memory, tile_row_, true);
      run_epilogue(launch, here, memory);
    } else {
      auto* const result =
          static_cast<std::byte*>(launch.arguments[operands_]) + offset(result_, here);
      compute(launch, here, result, result_[batch_.size()] / element_, false);
    }
  }
}

}  // namespace dvm::cpu
