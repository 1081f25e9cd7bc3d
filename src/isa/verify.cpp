#include "isa/verify.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace dvm {
namespace {

using Wide = __int128;

// Far above any memory, far below overflow: sums of a few such numbers stay exact in 64 bits.
constexpr std::int64_t kMost = std::int64_t{1} << 56;

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument("[verify] " + what); }

template <class... Parts>
void require(bool condition, const Parts&... parts) {
  if (condition) return;
  std::string message;
  const auto append = [&message](const auto& part) {
    if constexpr (std::is_convertible_v<decltype(part), std::string_view>) {
      message += std::string_view(part);
    } else {
      message += std::to_string(part);
    }
  };
  (append(parts), ...);
  fail(message);
}

class Verifier {
 public:
  explicit Verifier(std::span<const Word> words) : words_(words) {}

  void run() {
    check_size();
    check_header();
    check_axes();
    for (int i = 0; i < program().slots(); ++i) check_slot(i);
    check_sections();
    for (int i = 0; i < program().instructions(); ++i) check_instruction(i);
  }

 private:
  ProgramWords program() const { return ProgramWords(words_.data()); }

  void check_size() const {
    require(words_.size() >= kHeaderWords, words_.size(), " words, a header has ", kHeaderWords);
    const ProgramWords p = program();
    require(p.fingerprint() == fingerprint(),
            "the words were made for other instruction tables (fingerprint)");
    require(p.axes() <= kMaxAxes, p.axes(), " axes, at most ", kMaxAxes);
    require(p.slots() <= kMaxSlots, p.slots(), " slots, at most ", kMaxSlots);
    require(p.size() == words_.size(), words_.size(), " words, the header says ", p.size());
  }

  void check_header() const {
    const ProgramWords p = program();
    require(bits(words_[2], 32, 32) == 0, "unused bits of the header are set");
    require(p.parts() >= 1 && p.parts() <= kMost, p.parts(), " parts");
    require(p.scratch_bytes() >= 0 && p.scratch_bytes() <= kMost, p.scratch_bytes(),
            " bytes of scratch");
    for (int axis : {p.row_axis(), p.col_axis()}) {
      require(axis < p.axes(), "tile axis ", axis, " of ", p.axes(), " axes");
    }
    require(p.row_axis() < 0 || p.row_axis() != p.col_axis(), "axis ", p.row_axis(),
            " is both the row and the column axis");
  }

  void check_axes() {
    const ProgramWords p = program();
    Wide steps = p.parts();
    for (int axis = 0; axis < p.axes(); ++axis) {
      const std::int64_t extent = p.extent(axis), block = p.block(axis);
      require(extent >= 0 && extent <= kMost, "axis ", axis, " has extent ", extent);
      require(block >= 1 && block <= kMost, "axis ", axis, " has blocks of ", block);
      require(p.role(axis) <= Role::kIndexed, "axis ", axis, " has an unknown role");
      if (p.role(axis) == Role::kIndexed) {
        require(axis != p.row_axis() && axis != p.col_axis(), "axis ", axis,
                " is indexed and cannot be part of the tile");
        require(extent >= 1, "axis ", axis, " is indexed and has no elements");
        require(block == 1, "axis ", axis, " is indexed and has blocks");
        continue;
      }
      const bool tiled = axis == p.row_axis() || axis == p.col_axis();
      require(tiled || block == 1, "axis ", axis, " has blocks of ", block,
              " but is neither the row nor the column axis");
      steps *= std::max<std::int64_t>(1, (extent + block - 1) / block);
      require(steps <= kMost, "the axes have too many blocks");
    }
    rows_ = tile_extent(p.row_axis());
    cols_ = tile_extent(p.col_axis());
    require(static_cast<Wide>(rows_) * cols_ <= kMost, "a tile of ", rows_, " x ", cols_);
  }

  std::int64_t tile_extent(int axis) const {
    return axis < 0 ? 1 : std::min(program().block(axis), program().extent(axis));
  }

  void check_slot(int i) const {
    const ProgramWords p = program();
    const SlotWords slot = p.slot(i);
    const unsigned kind = static_cast<unsigned>(bits(slot.words[0], 0, 8));
    require(kind <= static_cast<unsigned>(SlotKind::kIndex), "slot ", i, " has kind ", kind);
    require(static_cast<unsigned>(bits(slot.words[0], 8, 8)) < kTypeCount, "slot ", i,
            " has an unknown type");
    require(bits(slot.words[0], 16, 8) <= static_cast<unsigned>(Domain::kOne), "slot ", i,
            " has an unknown domain");
    require(bits(slot.words[0], 24, 8) == 0 && bits(slot.words[0], 48, 16) == 0,
            "unused bits of slot ", i, " are set");
    const bool moves = slot.kind() == SlotKind::kArgument || slot.kind() == SlotKind::kIndex;
    require(moves || slot.part_stride() == 0, "slot ", i, " cannot move from part to part");
    if (!moves && slot.kind() != SlotKind::kKept) {
      for (int axis = 0; axis < p.axes(); ++axis) {
        require(slot.stride(axis) == 0, "slot ", i, " cannot have strides");
      }
    }
    switch (slot.kind()) {
      case SlotKind::kRegister:
        return check_register(i, slot);
      case SlotKind::kKept:
        return check_kept(i, slot);
      case SlotKind::kArgument:
        require(slot.index() < p.arguments(), "slot ", i, " is argument ", slot.index(), " of ",
                p.arguments());
        check_aligned(i, slot);
        check_span(i, slot);
        return;
      case SlotKind::kScalar:
        require(slot.index() < p.scalars(), "slot ", i, " is scalar ", slot.index(), " of ",
                p.scalars());
        require(slot.offset() == 0, "slot ", i, " is a scalar with an offset");
        require(is_compute(slot.type()), "slot ", i, " is a scalar of storage type ",
                info(slot.type()).text);
        return;
      case SlotKind::kConstant:
        require(slot.index() == 0, "slot ", i, " is a constant with an index");
        return;
      case SlotKind::kIndex:
        require(slot.type() == Type::i64, "slot ", i, " is an index of type ",
                info(slot.type()).text, ", wanted i64");
        check_span(i, slot);
        return;
    }
  }

  void check_register(int i, SlotWords slot) const {
    std::int64_t elements = 1;
    if (slot.domain() == Domain::kTile || slot.domain() == Domain::kRow) elements *= rows_;
    if (slot.domain() == Domain::kTile || slot.domain() == Domain::kCol) elements *= cols_;
    check_scratch(i, slot, 0, static_cast<Wide>(elements) * bytes(slot.type()));
  }

  // Kept values move along the reduced axes as a whole and along parallel ones only within a block.
  void check_kept(int i, SlotWords slot) const {
    Wide low = 0, high = bytes(slot.type());
    bool empty = false;
    for (int axis = 0; axis < program().axes(); ++axis) {
      check_stride(i, slot.stride(axis));
      require(program().role(axis) != Role::kIndexed || slot.stride(axis) == 0, "slot ", i,
              " is scratch and cannot be indexed");
      require(slot.stride(axis) % bytes(slot.type()) == 0, "slot ", i, " has a stride of ",
              slot.stride(axis), " bytes");
      std::int64_t count = program().extent(axis);
      if (program().role(axis) == Role::kParallel) {
        count =
            axis == program().row_axis() || axis == program().col_axis() ? tile_extent(axis) : 1;
      }
      empty = empty || count == 0;
      const Wide reached =
          static_cast<Wide>(std::max<std::int64_t>(count - 1, 0)) * slot.stride(axis);
      (reached < 0 ? low : high) += reached;
    }
    // Once-sections stand at the start of the reduced axes even when those are empty.
    check_scratch(i, slot, low, empty ? std::max<Wide>(high, bytes(slot.type())) : high);
  }

  void check_scratch(int i, SlotWords slot, Wide low, Wide high) const {
    require(slot.index() == 0, "slot ", i, " is scratch with an index");
    require(slot.offset() >= 0 && slot.offset() <= kMost, "slot ", i, " has offset ",
            slot.offset());
    require(slot.offset() % bytes(slot.type()) == 0, "slot ", i, " has offset ", slot.offset(),
            ", not a multiple of its element");
    require(slot.offset() + low >= 0 && slot.offset() + high <= program().scratch_bytes(), "slot ",
            i, " leaves the ", program().scratch_bytes(), " bytes of scratch");
  }

  // Every element of an argument lies at a multiple of its size from the start.
  void check_aligned(int i, SlotWords slot) const {
    const std::int64_t size = bytes(slot.type());
    bool aligned = slot.offset() % size == 0 && slot.part_stride() % size == 0;
    for (int axis = 0; axis < program().axes(); ++axis) {
      aligned = aligned && slot.stride(axis) % size == 0;
    }
    require(aligned, "slot ", i, " has an offset or a stride that is no multiple of its element");
  }

  static void check_stride(int i, std::int64_t stride) {
    require(stride >= -kMost && stride <= kMost, "slot ", i, " has stride ", stride);
  }

  void check_span(int i, SlotWords slot) const {
    require(slot.kind() != SlotKind::kIndex || slot.index() == 0, "slot ", i,
            " is an index with an argument");
    check_stride(i, slot.offset());
    check_stride(i, slot.part_stride());
    Wide low = slot.offset(), high = slot.offset();
    const auto add = [&](std::int64_t count, std::int64_t stride) {
      const Wide reached = static_cast<Wide>(std::max<std::int64_t>(count - 1, 0)) * stride;
      (reached < 0 ? low : high) += reached;
    };
    add(program().parts(), slot.part_stride());
    for (int axis = 0; axis < program().axes(); ++axis) {
      check_stride(i, slot.stride(axis));
      // A whole block more than the extent: pointers are advanced past the last block before they turn back.
      add(program().extent(axis) + program().block(axis), slot.stride(axis));
    }
    require(low >= -kMost && high <= kMost, "slot ", i, " reaches too far");
  }

  void check_sections() const {
    const ProgramWords p = program();
    unsigned next = 0;
    for (int i = 0; i < p.sections(); ++i) {
      const SectionWord section = p.section(i);
      require(bits(section.word, 0, 8) <= static_cast<unsigned>(SectionKind::kEach), "section ", i,
              " has an unknown kind");
      require(bits(section.word, 8, 8) == 0 && bits(section.word, 48, 16) == 0,
              "unused bits of section ", i, " are set");
      require(section.first() == next, "section ", i, " starts at instruction ", section.first(),
              ", wanted ", next);
      next += section.count();
    }
    require(next == static_cast<unsigned>(p.instructions()), "the sections have ", next,
            " instructions of ", p.instructions());
  }

  void check_instruction(int i) const {
    const ProgramWords p = program();
    const InstructionWord word = p.instruction(i);
    require(is_defined(word.opcode()), "instruction ", i, " has unknown opcode ", word.opcode());
    const Op op = op_of(word.opcode());
    const Type type = type_of(word.opcode());
    const int operands = operand_count(op);
    const std::string name =
        "instruction " + std::to_string(i) + ", " + opcode_name(op, type) + ",";
    require(bits(word.word, 21, 3) == 0, "unused bits of ", name, " are set");
    require(word.broadcast() >> operands == 0, name, " has ", operands,
            " operands and broadcasts others");
    require(static_cast<int>(word.dst()) < p.slots(), name, " writes slot ", word.dst(), " of ",
            p.slots());
    for (int k = 0; k < kMaxOperands; ++k) {
      require(k < operands || word.operand(k) == 0, name, " has ", operands, " operands, not more");
      if (k >= operands) continue;
      require(static_cast<int>(word.operand(k)) < p.slots(), name, " reads slot ", word.operand(k),
              " of ", p.slots());
      const Type wanted = operand_slot_type(op, type, k), found = p.slot(word.operand(k)).type();
      require(found == wanted, name, " reads slot ", word.operand(k), " of type ", info(found).text,
              ", wanted ", info(wanted).text);
    }
    const Type wanted = result_type(op, type), found = p.slot(word.dst()).type();
    require(found == wanted, name, " writes slot ", word.dst(), " of type ", info(found).text,
            ", wanted ", info(wanted).text);
    check_writable(name, word.dst());
    check_addressing(name, op, word);
  }

  void check_writable(const std::string& name, unsigned slot) const {
    const SlotKind kind = program().slot(static_cast<int>(slot)).kind();
    require(kind == SlotKind::kRegister || kind == SlotKind::kKept || kind == SlotKind::kArgument,
            name, " writes slot ", slot, ", which is no memory");
  }

  void check_data(const std::string& name, unsigned slot) const {
    require(program().slot(static_cast<int>(slot)).kind() != SlotKind::kIndex, name, " reads slot ",
            slot, " as data, but it is an index");
  }

  // The strides that handlers take for granted; what they look up in the slots needs no check.
  void check_addressing(const std::string& name, Op op, InstructionWord word) const {
    const Domain domain = word.domain();
    const bool along_rows = domain == Domain::kRow;
    if (op == Op::iota) {
      require(program().slot(word.operand(0)).kind() == SlotKind::kIndex, name, " reads slot ",
              word.operand(0), ", which is no index");
    } else {
      check_data(name, word.operand(0));
    }
    check_covers(name, domain, word.dst());
    if (op == Op::gather) check_gather(name, word);
    if (info(op).family == Family::kMemory) {
      for (int k = 0; k < operand_count(op); ++k) check_covered(name, domain, word.operand(k));
      return;
    }
    if (info(op).family == Family::kReduce) {
      check_unit(name, word.operand(0), false, (word.broadcast() & 1) != 0);
      const bool of_two = operand_count(op) == 2;
      require(of_two || word.broadcast() >> 1 == 0, name, " broadcasts an accumulator");
      if (domain != Domain::kOne) check_unit(name, word.dst(), along_rows, false);
      check_covered(name, domain, word.dst());
      if (of_two) {
        check_data(name, word.operand(1));
        check_unit(name, word.operand(1), false, (word.broadcast() & 2) != 0);
      }
      if (operand_count(op) < 3) return;
      check_data(name, word.operand(1));
      check_writable(name, word.operand(1));
      check_covers(name, domain, word.operand(1));
      check_covered(name, domain, word.operand(1));
      if (domain != Domain::kOne) check_unit(name, word.operand(1), along_rows, false);
      require(word.dst() != word.operand(1), name, " has one slot for both accumulators");
      require(program().slot(word.operand(2)).kind() == SlotKind::kIndex, name, " reads slot ",
              word.operand(2), ", which is no index");
      return;
    }
    check_covered(name, domain, word.dst());
    if (domain != Domain::kOne) check_unit(name, word.dst(), along_rows, false);
    for (int k = 0; k < operand_count(op); ++k) {
      check_data(name, word.operand(k));
      check_covered(name, domain, word.operand(k));
      if (domain == Domain::kOne) continue;
      check_unit(name, word.operand(k), along_rows, (word.broadcast() >> k & 1) != 0);
    }
  }

  void check_gather(const std::string& name, InstructionWord word) const {
    const SlotWords source = program().slot(static_cast<int>(word.operand(0)));
    require(source.kind() == SlotKind::kArgument, name, " picks from slot ", word.operand(0),
            ", which is no argument");
    require(indexed_axis(program(), source) >= 0, name, " picks from slot ", word.operand(0),
            ", which moves along no indexed axis or along several");
    check_data(name, word.operand(1));
  }

  // Strides of a slot inside the tile, in bytes.
  std::int64_t row_stride(SlotWords slot) const {
    if (slot.kind() == SlotKind::kRegister) {
      if (slot.domain() == Domain::kTile) return cols_ * bytes(slot.type());
      return slot.domain() == Domain::kRow ? bytes(slot.type()) : 0;
    }
    return program().row_axis() < 0 ? 0 : slot.stride(program().row_axis());
  }
  std::int64_t col_stride(SlotWords slot) const {
    if (slot.kind() == SlotKind::kRegister) {
      return slot.domain() == Domain::kTile || slot.domain() == Domain::kCol ? bytes(slot.type())
                                                                             : 0;
    }
    return program().col_axis() < 0 ? 0 : slot.stride(program().col_axis());
  }

  void check_unit(const std::string& name, unsigned number, bool along_rows, bool broadcast) const {
    if ((along_rows ? rows_ : cols_) <= 1) return;
    const SlotWords slot = program().slot(static_cast<int>(number));
    const std::int64_t stride = along_rows ? row_stride(slot) : col_stride(slot);
    const std::int64_t wanted = broadcast ? 0 : bytes(slot.type());
    require(stride == wanted, name, " finds slot ", number, " with a stride of ", stride,
            " bytes along its inner dimension, wanted ", wanted);
  }

  // A destination must have an element of its own for every element of the domain.
  void check_covers(const std::string& name, Domain domain, unsigned number) const {
    if (rows_ == 0 || cols_ == 0) return;
    const SlotWords slot = program().slot(static_cast<int>(number));
    const bool rows = domain == Domain::kTile || domain == Domain::kRow;
    const bool cols = domain == Domain::kTile || domain == Domain::kCol;
    require((!rows || rows_ <= 1 || row_stride(slot) != 0) &&
                (!cols || cols_ <= 1 || col_stride(slot) != 0),
            name, " writes slot ", number, ", which has no place for all of its domain");
  }

  // A value that varies over more than the domain would be read at its first element only, which is never meant.
  void check_covered(const std::string& name, Domain domain, unsigned number) const {
    const SlotWords slot = program().slot(static_cast<int>(number));
    if (slot.kind() == SlotKind::kConstant || slot.kind() == SlotKind::kScalar) return;
    const bool rows = domain == Domain::kTile || domain == Domain::kRow;
    const bool cols = domain == Domain::kTile || domain == Domain::kCol;
    require((rows || rows_ <= 1 || row_stride(slot) == 0) &&
                (cols || cols_ <= 1 || col_stride(slot) == 0),
            name, " uses slot ", number, ", which varies over more than its domain");
  }

  std::span<const Word> words_;
  std::int64_t rows_ = 1, cols_ = 1;  // of the largest tile
};

}  // namespace

void verify(std::span<const Word> words) { Verifier(words).run(); }

}  // namespace dvm
