#include "random_program.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

#include "isa/encode.h"
#include "isa/opcode.h"
#include "isa/verify.h"

namespace dvm::test {
namespace {

constexpr std::int64_t kExtents[] = {0, 1,  1,  2,  3,  4,  5,  7,   8,
                                     9, 16, 17, 31, 33, 64, 65, 100, 130};
constexpr std::int64_t kMostElements = 20000;

// What is exact on small whole numbers, so that every machine must agree to the bit.
constexpr Op kUnary[] = {Op::copy, Op::neg, Op::abs, Op::sign, Op::relu, Op::floor};
constexpr Op kBinary[] = {Op::add, Op::sub, Op::maximum, Op::minimum, Op::fmax};
constexpr Op kReductions[] = {Op::sum, Op::max, Op::min, Op::argmax, Op::argmin};
constexpr Type kTypesUsed[] = {Type::f32, Type::f32, Type::f64, Type::i32, Type::i64};

struct Value {
  std::uint16_t slot;
  Type type;
  Domain domain;
};

class Maker {
 public:
  explicit Maker(Random& random) : random_(random) {}

  Program make() {
    make_axes();
    type_ = pick(kTypesUsed);
    const std::size_t sections = 1 + below(2);
    for (std::size_t i = 0; i < sections; ++i) {
      make_start();
      make_each();
      make_end();
    }
    program_.scratch_bytes = scratch_;
    return std::move(program_);
  }

 private:
  std::size_t below(std::size_t count) { return static_cast<std::size_t>(random_() % count); }
  bool chance(int percent) { return static_cast<int>(below(100)) < percent; }
  template <class T, std::size_t kCount>
  T pick(const T (&values)[kCount]) {
    return values[below(kCount)];
  }

  void make_axes() {
    std::int64_t elements = 1;
    const std::size_t count = 1 + below(4);
    for (std::size_t i = 0; i < count; ++i) {
      Axis axis;
      do {
        axis.extent = pick(kExtents);
      } while (elements * std::max<std::int64_t>(axis.extent, 1) > kMostElements ||
               (axis.extent == 0 && !chance(20)));
      elements *= std::max<std::int64_t>(axis.extent, 1);
      axis.role = chance(50) ? Role::kReduce : Role::kParallel;
      program_.axes.push_back(axis);
    }
    const auto take_axis = [&](int other) {
      const int axis = static_cast<int>(below(count));
      if (axis == other || chance(15)) return -1;
      Axis& tiled = program_.axes[static_cast<std::size_t>(axis)];
      tiled.block =
          1 + static_cast<std::int64_t>(below(static_cast<std::size_t>(tiled.extent) + 5));
      return axis;
    };
    program_.col_axis = take_axis(-1);
    program_.row_axis = take_axis(program_.col_axis);
    for (const Axis& axis : program_.axes) {
      if (axis.role == Role::kReduce && chance(20))
        program_.parts = 1 + static_cast<std::int64_t>(below(4));
    }
  }

  const Axis* axis(int i) const {
    return i < 0 ? nullptr : &program_.axes[static_cast<std::size_t>(i)];
  }
  std::int64_t tile(int i) const { return i < 0 ? 1 : std::min(axis(i)->extent, axis(i)->block); }
  bool reduced(int i) const { return i >= 0 && axis(i)->role == Role::kReduce; }
  // Whether a dimension of the tile may be part of the domain of values that outlive a chunk.
  bool rows_last() const { return !reduced(program_.row_axis); }
  bool cols_last() const { return !reduced(program_.col_axis); }
  Domain lasting_domain() const {
    if (rows_last()) return cols_last() ? Domain::kTile : Domain::kRow;
    return cols_last() ? Domain::kCol : Domain::kOne;
  }

  std::uint16_t add_slot(Slot slot) {
    program_.slots.push_back(slot);
    return static_cast<std::uint16_t>(program_.slots.size() - 1);
  }

  std::uint16_t add_register(Type type, Domain domain) {
    std::int64_t size = bytes(type);
    if (domain == Domain::kTile || domain == Domain::kRow) size *= tile(program_.row_axis);
    if (domain == Domain::kTile || domain == Domain::kCol) size *= tile(program_.col_axis);
    const Slot slot{
        .kind = SlotKind::kRegister, .type = type, .domain = domain, .offset = scratch_};
    scratch_ += (size + 63) / 64 * 64;
    return add_slot(slot);
  }

  // An argument that varies over some axes, in random order in memory, sometimes with gaps.
  std::uint16_t add_argument(Type type, bool all_axes, bool for_result) {
    Slot slot{.kind = SlotKind::kArgument, .type = type, .index = program_.arguments++};
    std::vector<std::size_t> order(program_.axes.size());
    std::iota(order.begin(), order.end(), 0);
    if (chance(40)) std::shuffle(order.begin(), order.end(), random_);
    std::int64_t stride = bytes(type);
    for (std::size_t i = order.size(); i-- > 0;) {
      const Axis& a = program_.axes[order[i]];
      if (for_result && a.role == Role::kReduce) continue;
      if (!all_axes && chance(30)) continue;
      slot.strides[order[i]] = stride;
      stride *= std::max<std::int64_t>(a.extent, 1);
      if (chance(10)) stride += bytes(type) * 3;
    }
    if (for_result) slot.part_stride = stride;
    slot.offset = chance(20) ? bytes(type) * 5 : 0;
    return add_slot(slot);
  }

  std::int64_t stride_in(const Slot& slot, bool rows) const {
    if (slot.kind == SlotKind::kRegister) {
      const bool tile_or = slot.domain == Domain::kTile;
      if (rows) {
        return slot.domain == Domain::kRow ? bytes(slot.type)
               : tile_or                   ? tile(program_.col_axis) * bytes(slot.type)
                                           : 0;
      }
      return tile_or || slot.domain == Domain::kCol ? bytes(slot.type) : 0;
    }
    const int a = rows ? program_.row_axis : program_.col_axis;
    return a < 0 ? 0 : slot.strides[a];
  }

  // Whether an instruction over `domain` may name the slot as an operand, and if so whether as a broadcast.
  enum class Use { kNo, kUnit, kBroadcast };
  Use use(std::uint16_t number, Domain domain) const {
    const Slot& slot = program_.slots[number];
    if (slot.kind == SlotKind::kIndex) return Use::kNo;
    const std::int64_t rows = tile(program_.row_axis) > 1 ? stride_in(slot, true) : 0;
    const std::int64_t cols = tile(program_.col_axis) > 1 ? stride_in(slot, false) : 0;
    const bool has_rows = domain == Domain::kTile || domain == Domain::kRow;
    const bool has_cols = domain == Domain::kTile || domain == Domain::kCol;
    if ((!has_rows && rows != 0) || (!has_cols && cols != 0)) return Use::kNo;
    if (domain == Domain::kOne) return Use::kUnit;
    const std::int64_t inner = domain == Domain::kRow ? rows : cols;
    if (inner == 0) return Use::kBroadcast;
    return inner == bytes(slot.type) ? Use::kUnit : Use::kNo;
  }

  void push(std::vector<Instruction>& code, Op op, Type type, Domain domain, std::uint16_t dst,
            std::vector<std::uint16_t> operands) {
    Instruction instruction{.op = op, .type = type, .domain = domain, .dst = dst};
    for (std::size_t k = 0; k < operands.size(); ++k) {
      instruction.operands[k] = operands[k];
      if (info(op).family == Family::kElementwise && use(operands[k], domain) == Use::kBroadcast) {
        instruction.broadcast |= static_cast<std::uint8_t>(1u << k);
      }
      if (info(op).family == Family::kReduce && k == 0 &&
          use(operands[0], Domain::kTile) == Use::kBroadcast) {
        instruction.broadcast |= 1;
      }
    }
    code.push_back(instruction);
  }

  // A random operand for `domain` out of `values`, or a constant.
  std::uint16_t operand(const std::vector<Value>& values, Domain domain, Type type) {
    for (int attempt = 0; attempt < 8 && !values.empty(); ++attempt) {
      const Value& value = values[below(values.size())];
      if (value.type == type && use(value.slot, domain) != Use::kNo) return value.slot;
    }
    return constant(type, static_cast<std::int64_t>(below(7)) - 3);
  }

  std::uint16_t constant(Type type, std::int64_t value) {
    Slot slot{.kind = SlotKind::kConstant, .type = type, .domain = Domain::kOne};
    switch (type) {
      case Type::f32:
        slot.offset = std::bit_cast<std::uint32_t>(static_cast<float>(value));
        break;
      case Type::f64:
        slot.offset = std::bit_cast<std::int64_t>(static_cast<double>(value));
        break;
      case Type::i32:
        slot.offset = static_cast<std::uint32_t>(value);
        break;
      case Type::bool_:
        slot.offset = value != 0 ? 1 : 0;
        break;
      default:
        slot.offset = value;
        break;
    }
    return add_slot(slot);
  }

  void compute(std::vector<Instruction>& code, std::vector<Value>& values, int count,
               bool lasting) {
    for (int i = 0; i < count; ++i) {
      constexpr Domain kDomains[] = {Domain::kTile, Domain::kTile, Domain::kTile,
                                     Domain::kRow,  Domain::kCol,  Domain::kOne};
      const Domain domain = lasting ? lasting_domain() : pick(kDomains);
      if (chance(15)) {
        const std::uint16_t a = operand(values, domain, type_), b = operand(values, domain, type_);
        const std::uint16_t is = add_register(Type::bool_, domain),
                            dst = add_register(type_, domain);
        push(code, Op::lt, type_, domain, is, {a, b});
        push(code, Op::select, type_, domain, dst, {is, operand(values, domain, type_), b});
        values.push_back({dst, type_, domain});
        continue;
      }
      const bool binary = chance(70);
      std::vector<std::uint16_t> operands{operand(values, domain, type_)};
      if (binary) operands.push_back(operand(values, domain, type_));
      // Sometimes in place, where the place is a register of the domain.
      std::uint16_t dst = 0;
      const Slot& first = program_.slots[operands[0]];
      if (chance(25) && first.kind == SlotKind::kRegister && first.domain == domain &&
          !is_accumulator(operands[0])) {
        dst = operands[0];
      } else {
        dst = add_register(type_, domain);
        values.push_back({dst, type_, domain});
      }
      push(code, binary ? pick(kBinary) : pick(kUnary), type_, domain, dst, operands);
    }
  }

  bool is_accumulator(std::uint16_t slot) const {
    return std::find(accumulators_.begin(), accumulators_.end(), slot) != accumulators_.end();
  }

  void make_start() {
    Section section{SectionKind::kOnce, {}};
    reductions_.clear();
    const std::size_t count = 1 + below(2);
    for (std::size_t i = 0; i < count; ++i) {
      Reduction reduction{.op = pick(kReductions), .domain = lasting_domain()};
      const bool counts = info(reduction.op).accumulators == 2;
      reduction.result = counts ? Type::i64 : type_;
      reduction.accumulator = add_register(reduction.result, reduction.domain);
      accumulators_.push_back(reduction.accumulator);
      const bool most = reduction.op == Op::max || reduction.op == Op::argmax;
      push(section.code, Op::copy, reduction.result, reduction.domain, reduction.accumulator,
           {constant(reduction.result, counts || reduction.op == Op::sum ? 0
                                       : most                            ? -1000
                                                                         : 1000)});
      if (counts) {
        reduction.best = add_register(type_, reduction.domain);
        accumulators_.push_back(reduction.best);
        push(section.code, Op::copy, type_, reduction.domain, reduction.best,
             {constant(type_, most ? -1000 : 1000)});
        reduction.index = add_index();
      }
      reductions_.push_back(reduction);
    }
    program_.sections.push_back(section);
  }

  std::uint16_t add_index() {
    Slot slot{.kind = SlotKind::kIndex,
              .type = Type::i64,
              .offset = static_cast<std::int64_t>(below(10))};
    std::int64_t stride = 1;
    for (std::size_t a = program_.axes.size(); a-- > 0;) {
      if (program_.axes[a].role != Role::kReduce) continue;
      slot.strides[a] = stride;
      stride *= std::max<std::int64_t>(program_.axes[a].extent, 1);
    }
    return add_slot(slot);
  }

  void make_each() {
    Section section{SectionKind::kEach, {}};
    std::vector<Value> values = lasting_;
    const std::size_t inputs = 1 + below(3);
    for (std::size_t i = 0; i < inputs; ++i) {
      const std::uint16_t argument = add_argument(type_, chance(50), false);
      values.push_back({argument, type_, Domain::kTile});
      if (chance(50) && use(argument, Domain::kTile) != Use::kNo) continue;
      const std::uint16_t loaded = add_register(type_, Domain::kTile);
      push(section.code, Op::load, type_, Domain::kTile, loaded, {argument});
      values.push_back({loaded, type_, Domain::kTile});
    }
    if (type_ == Type::i64 && chance(50)) {
      const std::uint16_t positions = add_register(Type::i64, Domain::kTile);
      push(section.code, Op::iota, Type::i64, Domain::kTile, positions, {add_index()});
      values.push_back({positions, type_, Domain::kTile});
    }
    compute(section.code, values, static_cast<int>(1 + below(5)), false);
    for (const Reduction& r : reductions_) {
      const std::uint16_t a = operand(values, Domain::kTile, type_);
      if (r.index == 0) {
        push(section.code, r.op, type_, r.domain, r.accumulator, {a});
      } else {
        push(section.code, r.op, type_, r.domain, r.accumulator, {a, r.best, r.index});
      }
    }
    if (chance(60))
      store(section.code, operand(values, Domain::kTile, type_), Domain::kTile, false);
    program_.sections.push_back(section);
  }

  void store(std::vector<Instruction>& code, std::uint16_t value, Domain domain, bool for_result) {
    const Type type = program_.slots[value].type;
    const std::uint16_t argument = add_argument(type, true, for_result);
    const bool unit = use(argument, domain) == Use::kUnit;
    push(code, unit && chance(70) ? Op::copy : Op::store, type, domain, argument, {value});
  }

  void make_end() {
    Section section{SectionKind::kOnce, {}};
    // Clamped, so that what comes after stays exact too.
    for (const Reduction& r : reductions_) {
      if (r.result != type_) continue;
      const std::uint16_t small = add_register(type_, r.domain);
      push(section.code, Op::clamp, type_, r.domain, small,
           {r.accumulator, constant(type_, -20), constant(type_, 20)});
      lasting_.push_back({small, type_, r.domain});
    }
    std::vector<Value> values = lasting_;
    compute(section.code, values, static_cast<int>(below(3)), true);
    lasting_ = values;
    for (const Value& value : lasting_) accumulators_.push_back(value.slot);
    for (const Reduction& r : reductions_) store(section.code, r.accumulator, r.domain, true);
    if (!values.empty()) {
      const std::uint16_t last = values.back().slot;
      if (program_.slots[last].kind == SlotKind::kRegister)
        store(section.code, last, program_.slots[last].domain, true);
    }
    program_.sections.push_back(section);
  }

  struct Reduction {
    Op op;
    Domain domain;
    Type result = Type::f32;
    std::uint16_t accumulator = 0, best = 0, index = 0;
  };

  Random& random_;
  Program program_;
  Type type_ = Type::f32;
  std::int64_t scratch_ = 0;
  std::vector<Reduction> reductions_;
  std::vector<std::uint16_t> accumulators_;
  std::vector<Value> lasting_;
};

Type argument_type(const Program& program, std::size_t argument) {
  for (const Slot& slot : program.slots) {
    if (slot.kind == SlotKind::kArgument && slot.index == argument) return slot.type;
  }
  return Type::u8;
}

}  // namespace

Program random_program(Random& random) { return Maker(random).make(); }

Memory random_memory(const Program& program, Random& random) {
  Memory memory;
  const std::vector<Word> words = encode(program);
  for (std::size_t i = 0; i < program.arguments; ++i) {
    auto& bytes_of = memory.arguments.emplace_back(
        static_cast<std::size_t>(reach(words, static_cast<unsigned>(i)).end));
    const Type type = argument_type(program, i);
    const auto size = static_cast<std::size_t>(bytes(type));
    for (std::size_t at = 0; at + size <= bytes_of.size(); at += size) {
      const std::int64_t value = static_cast<std::int64_t>(random() % 9) - 4;
      const float f32 = static_cast<float>(value);
      const double f64 = static_cast<double>(value);
      const void* source = &value;
      if (type == Type::f32) source = &f32;
      if (type == Type::f64) source = &f64;
      std::memcpy(bytes_of.data() + at, source, size);
    }
  }
  for (auto& argument : memory.arguments) memory.addresses.push_back(argument.data());
  memory.scalars.resize(program.scalars);
  return memory;
}

}  // namespace dvm::test
