#include "schedule/split.h"

#include <algorithm>
#include <map>

#include "schedule/emit.h"
#include "schedule/stage.h"

namespace dvm {
namespace {

constexpr std::int64_t kWantedBlocks = 32;
constexpr std::int64_t kMinElements = 512 << 10;  // below, one thread is as fast
constexpr std::int64_t kMinElementsPerPart = 32 << 10;

/// A piece of a Kernel that becomes a Stage: some of its terms, with reductions of lower levels read back from the
/// workspace.
struct Piece {
  Kernel kernel;
  KernelShape shape;
  std::vector<Source> sources;  // inputs, then outputs
};

// What joins two results of a reduction.
Op joined_by(Op op) {
  const bool sums = op == Op::sum_squares || op == Op::sum_products || op == Op::sum_square_diff;
  return sums ? Op::sum : op;
}

class Splitter {
 public:
  Splitter(const Kernel& kernel, const KernelShape& shape) : kernel_(kernel), shape_(shape) {
    row_elements_ = 1;
    row_strides_.assign(kernel.axes.size(), 0);
    for (std::size_t i = kernel.axes.size(); i-- > 0;) {
      if (kernel.reduced >> i & 1) continue;
      row_strides_[i] = row_elements_;
      row_elements_ *= shape.extents[i];
    }
  }

  Scheduled run() {
    int levels = 0;
    for (const Term& term : kernel_.terms) levels = std::max(levels, term.level);
    for (int level = 1; level <= levels; ++level) {
      std::vector<std::int32_t> reductions;
      for (std::size_t i = 0; i < kernel_.terms.size(); ++i) {
        if (kernel_.terms[i].kind == TermKind::kReduce && kernel_.terms[i].level == level) {
          reductions.push_back(static_cast<std::int32_t>(i));
        }
      }
      reduce_in_parts(reductions);
    }
    write_outputs();
    return std::move(scheduled_);
  }

 private:
  void reduce_in_parts(const std::vector<std::int32_t>& reductions) {
    Piece piece = begin();
    std::map<std::int32_t, std::int32_t> copies;
    std::vector<std::int64_t> partials;
    for (const std::int32_t reduction : reductions) {
      const std::int32_t term = copy(piece, copies, reduction, true);
      const Type type = kernel_.terms[reduction].type;
      add_output(piece, term, type, {Source::kWorkspace, 0, 0}, row_strides_, bytes(type));
    }
    find_levels(piece.kernel);
    const Space space = collapse(piece.kernel, piece.shape);
    const Tiling tile = tile_for(piece.kernel, space);
    Parts parts{.count = choose_parts(kernel_, tile.blocks, tile.chunks, space.elements()),
                .output_strides = {}};
    for (std::size_t i = 0; i < reductions.size(); ++i) {
      const std::int64_t size = row_elements_ * bytes(kernel_.terms[reductions[i]].type);
      partials.push_back(take(size * parts.count));
      piece.sources[piece.kernel.inputs.size() + i].offset = partials.back();
      parts.output_strides.push_back(size);
    }
    scheduled_.stages.push_back(
        {emit(piece.kernel, piece.shape, space, tile, parts), std::move(piece.sources)});
    for (std::size_t i = 0; i < reductions.size(); ++i)
      join(reductions[i], partials[i], parts.count);
  }

  // One more axis, the parts, is reduced by the same operation.
  void join(std::int32_t reduction, std::int64_t partials, std::int64_t parts) {
    const Term& term = kernel_.terms[reduction];
    Piece piece = begin();
    piece.kernel.reduced = 1u << piece.kernel.axes.size();
    for (std::size_t i = 0; i < kernel_.axes.size(); ++i) {
      if (kernel_.reduced >> i & 1) piece.shape.extents[i] = 1;
    }
    piece.kernel.axes.push_back(0);
    piece.shape.extents.push_back(parts);
    std::vector<std::int64_t> strides = row_strides_;
    strides.push_back(row_elements_);
    for (std::int64_t& stride : strides) stride *= bytes(term.type);
    const std::int32_t source =
        add_input(piece, term.type, {Source::kWorkspace, 0, partials}, strides);
    piece.kernel.terms.push_back({.kind = TermKind::kReduce,
                                  .op = joined_by(term.op),
                                  .type = term.type,
                                  .operands = {source, -1, -1},
                                  .level = 1});
    const std::int64_t joined = take(row_elements_ * bytes(term.type));
    strides = row_strides_;
    strides.push_back(0);
    add_output(piece, source + 1, term.type, {Source::kWorkspace, 0, joined}, strides,
               bytes(term.type));
    joined_[reduction] = joined;
    finish(piece);
  }

  // What varies over the reduced axes and what does not go into Stages of their own: the one has many more blocks.
  void write_outputs() {
    for (const bool whole : {true, false}) {
      Piece piece = begin();
      std::map<std::int32_t, std::int32_t> copies;
      for (std::size_t i = 0; i < kernel_.outputs.size(); ++i) {
        const KernelOutput& output = kernel_.outputs[i];
        bool varies = false;
        for (std::size_t axis = 0; axis < kernel_.axes.size(); ++axis) {
          varies = varies || ((kernel_.reduced >> axis & 1) && output.dim_of_axis[axis] >= 0);
        }
        if (varies != whole) continue;
        const std::int32_t term = copy(piece, copies, output.term, false);
        add_output(piece, term, output.type, {Source::kOutput, static_cast<std::int32_t>(i), 0},
                   shape_.output_strides[i], 1);
      }
      if (piece.kernel.outputs.empty()) continue;
      piece.kernel.reduced = 0;
      if (!whole) {
        for (std::size_t i = 0; i < kernel_.axes.size(); ++i) {
          if (kernel_.reduced >> i & 1) piece.shape.extents[i] = 1;
        }
      }
      find_levels(piece.kernel);
      finish(piece);
    }
  }

  Piece begin() const {
    Piece piece;
    piece.kernel.name = kernel_.name;
    piece.kernel.axes = kernel_.axes;
    piece.kernel.reduced = kernel_.reduced;
    piece.kernel.scalars = kernel_.scalars;
    piece.shape.extents = shape_.extents;
    return piece;
  }

  // Copies a term and all that it needs into the piece. Finished reductions become loads from the workspace.
  std::int32_t copy(Piece& piece, std::map<std::int32_t, std::int32_t>& copies, std::int32_t index,
                    bool reduce) {
    if (const auto it = copies.find(index); it != copies.end()) return it->second;
    Term term = kernel_.terms[index];
    std::int32_t made = -1;
    if (term.kind == TermKind::kReduce && !reduce) {
      std::vector<std::int64_t> strides = row_strides_;
      for (std::int64_t& stride : strides) stride *= bytes(term.type);
      made = add_input(piece, term.type, {Source::kWorkspace, 0, joined_.at(index)}, strides);
    } else if (term.kind == TermKind::kLoad) {
      const KernelInput& input = kernel_.inputs[term.index];
      made = add_input(piece, input.type, {Source::kInput, term.index, 0},
                       shape_.input_strides[term.index]);
      piece.kernel.terms[made].type = term.type;  // it may convert as it reads
    } else {
      for (std::int32_t& operand : term.operands) {
        if (operand >= 0) operand = copy(piece, copies, operand, false);
      }
      if (term.kind == TermKind::kSize)
        piece.shape.sizes.push_back(shape_.sizes[size_number(index)]);
      if (term.op == Op::gather) term.index = copy_picked(piece, term.index);
      piece.kernel.terms.push_back(term);
      made = static_cast<std::int32_t>(piece.kernel.terms.size()) - 1;
    }
    return copies[index] = made;
  }

  // The tensor that a gather picks from.
  int copy_picked(Piece& piece, int input) const {
    const int number = static_cast<int>(piece.kernel.inputs.size());
    const KernelInput& from = kernel_.inputs[input];
    piece.kernel.inputs.push_back({-1, from.type, {}, from.picked});
    piece.shape.input_strides.push_back(shape_.input_strides[input]);
    piece.shape.picked.resize(static_cast<std::size_t>(number) + 1);
    piece.shape.picked[number] = shape_.picked[input];
    piece.sources.insert(piece.sources.begin() + number, {Source::kInput, input, 0});
    return number;
  }

  std::size_t size_number(std::int32_t index) const {
    return static_cast<std::size_t>(
        std::count_if(kernel_.terms.begin(), kernel_.terms.begin() + index,
                      [](const Term& term) { return term.kind == TermKind::kSize; }));
  }

  std::int32_t add_input(Piece& piece, Type type, Source source,
                         std::vector<std::int64_t> strides) const {
    const int number = static_cast<int>(piece.kernel.inputs.size());
    piece.kernel.inputs.push_back({-1, type, {}});
    piece.shape.input_strides.push_back(std::move(strides));
    piece.sources.insert(piece.sources.begin() + number, source);
    piece.kernel.terms.push_back({.kind = TermKind::kLoad, .type = compute(type), .index = number});
    return static_cast<std::int32_t>(piece.kernel.terms.size()) - 1;
  }

  static void add_output(Piece& piece, std::int32_t term, Type type, Source source,
                         std::vector<std::int64_t> strides, std::int64_t scale) {
    for (std::int64_t& stride : strides) stride *= scale;
    piece.kernel.outputs.push_back({-1, term, type, {}});
    piece.shape.output_strides.push_back(std::move(strides));
    piece.sources.push_back(source);
  }

  static void find_levels(Kernel& kernel) {
    for (Term& term : kernel.terms) {
      term.level = term.kind == TermKind::kReduce ? 1 : 0;
      for (const std::int32_t operand : term.operands) {
        if (operand >= 0)
          term.level =
              std::max(term.level, kernel.terms[operand].level + (term.kind == TermKind::kReduce));
      }
    }
  }

  void finish(Piece& piece) {
    const Space space = collapse(piece.kernel, piece.shape);
    const Tiling tile = tile_for(piece.kernel, space);
    scheduled_.stages.push_back(
        {emit(piece.kernel, piece.shape, space, tile), std::move(piece.sources)});
  }

  std::int64_t take(std::int64_t size) {
    const std::int64_t offset = scheduled_.workspace_bytes;
    scheduled_.workspace_bytes += (size + 63) / 64 * 64;
    return offset;
  }

  const Kernel& kernel_;
  const KernelShape& shape_;
  std::vector<std::int64_t> row_strides_;  // elements, of a tensor over the parallel axes
  std::int64_t row_elements_ = 1;
  std::map<std::int32_t, std::int64_t> joined_;  // offset of each finished reduction
  Scheduled scheduled_;
};

}  // namespace

std::int64_t choose_parts(const Kernel& kernel, std::int64_t blocks, std::int64_t chunks,
                          std::int64_t elements) {
  for (const Term& term : kernel.terms) {
    if (term.kind == TermKind::kReduce && info(term.op).accumulators > 1)
      return 1;  // joins would need both results
  }
  if (blocks == 0 || blocks >= kWantedBlocks / 2 || elements < kMinElements) return 1;
  return std::max<std::int64_t>(
      1, std::min({chunks, kWantedBlocks / blocks, elements / (blocks * kMinElementsPerPart)}));
}

Scheduled split(const Kernel& kernel, const KernelShape& shape) {
  return Splitter(kernel, shape).run();
}

}  // namespace dvm
