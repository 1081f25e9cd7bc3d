#include "schedule/emit.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "schedule/registers.h"
#include "schedule/terms.h"

namespace dvm {
namespace {

constexpr int kNone = -1;

Op conversion_to(Type type) {
  switch (type) {
    case Type::f32: return Op::to_f32;
    case Type::f64: return Op::to_f64;
    case Type::f16: return Op::to_f16;
    case Type::bf16: return Op::to_bf16;
    case Type::i8: return Op::to_i8;
    case Type::u8: return Op::to_u8;
    case Type::i16: return Op::to_i16;
    case Type::i32: return Op::to_i32;
    case Type::i64: return Op::to_i64;
    case Type::bool_: return Op::to_bool;
  }
  return Op::copy;
}

template <class T>
std::uint64_t bits_of(T value) {
  if constexpr (sizeof(T) == 8) return std::bit_cast<std::uint64_t>(value);
  else return std::bit_cast<std::uint32_t>(value);
}

template <class T>
std::uint64_t extreme_bits(bool lowest) {
  using Limits = std::numeric_limits<T>;
  if constexpr (Limits::has_infinity) return bits_of<T>(lowest ? -Limits::infinity() : Limits::infinity());
  return bits_of<T>(lowest ? Limits::lowest() : Limits::max());
}

std::uint64_t extreme(Type type, bool lowest) {
  switch (type) {
    case Type::f32: return extreme_bits<float>(lowest);
    case Type::f64: return extreme_bits<double>(lowest);
    case Type::i32: return extreme_bits<std::int32_t>(lowest);
    case Type::i64: return extreme_bits<std::int64_t>(lowest);
    default: return lowest ? 0 : 1;
  }
}

std::uint64_t number_bits(std::int64_t value, Type type) {
  switch (type) {
    case Type::f32: return bits_of(static_cast<float>(value));
    case Type::f64: return bits_of(static_cast<double>(value));
    case Type::i32: return static_cast<std::uint32_t>(value);
    default: return static_cast<std::uint64_t>(value);
  }
}

// What a reduction over nothing gives.
std::uint64_t identity(Op op, Type type) {
  switch (op) {
    case Op::prod: return number_bits(1, type);
    case Op::all: return 1;
    case Op::max: case Op::argmax: return extreme(type, true);
    case Op::min: case Op::argmin: return extreme(type, false);
    default: return 0;
  }
}

class Emitter {
 public:
  Emitter(const Kernel& kernel, const KernelShape& shape, const Space& space, const Tiling& tile, const Parts& parts)
      : kernel_(kernel), shape_(shape), space_(space), tile_(tile), parts_(parts),
        streaming_(tile.chunks != 1 || parts.count > 1),
        passes_(plan_passes(kernel, space, tile, streaming_)),
        slots_(kernel.terms.size(), kNone), memory_(kernel.inputs.size(), kNone), best_(kernel.terms.size(), kNone) {}

  Program run() {
    program_.axes = space_.axes;
    if (tile_.row >= 0) program_.axes[tile_.row].block = tile_.rows;
    if (tile_.col >= 0) program_.axes[tile_.col].block = tile_.cols;
    program_.row_axis = tile_.row;
    program_.col_axis = tile_.col;
    program_.parts = parts_.count;
    program_.arguments = static_cast<std::uint16_t>(kernel_.inputs.size() + kernel_.outputs.size());
    program_.scalars = static_cast<std::uint16_t>(kernel_.scalars.size());
    program_.slots.reserve(kernel_.terms.size() + kernel_.outputs.size() + 8);
    for (const std::int32_t term : passes_.kept) slots_[term] = kept_slot(term);
    for (std::size_t i = 0; i < passes_.list.size(); ++i) {
      emit_pass(passes_.list[i]);
      if (i + 1 < passes_.list.size() && pass_ == SectionKind::kOnce) preload(passes_.list[i + 1]);
      if (pass_ == SectionKind::kEach) ++level_;
    }
    std::erase_if(program_.sections, [](const Section& section) { return section.code.empty(); });
    program_.scratch_bytes = registers_.total();
    return std::move(program_);
  }

 private:
  // ---- passes -------------------------------------------------------------------------------------------

  void emit_pass(const Pass& pass) {
    pass_ = pass.kind;
    program_.sections.push_back({pass.kind, {}});
    program_.sections.back().code.reserve(pass.starts.size() + pass.terms.size() + 4);
    for (const std::int32_t term : pass.starts) start_reduction(term);
    find_last_uses(pass);
    for (std::size_t i = 0; i < pass.terms.size(); ++i) {
      now_ = static_cast<int>(i);
      const std::int32_t term = pass.terms[i];
      if (kernel_.terms[term].kind == TermKind::kReduce) {
        reduce(term);
      } else {
        compute(term);
      }
      release(term);
      store_outputs(term);
      if (ends_here(term)) free_slot(term);
    }
    now_ = static_cast<int>(pass.terms.size());
    store_rest();
    end_pass();
  }

  // Brings what does not vary over the chunks into registers before the pass over them, not once per chunk.
  void preload(const Pass& next) {
    const auto fetch = [&](std::int32_t term) {
      if (term >= 0 && passes_.facts[term].once && kernel_.terms[term].kind != TermKind::kElementwise) value(term);
    };
    for (const std::int32_t term : next.terms) {
      for (const std::int32_t operand : kernel_.terms[term].operands) fetch(operand);
    }
    for (const KernelOutput& output : kernel_.outputs) {
      if (kernel_.terms[output.term].level == level_) fetch(output.term);
    }
  }

  // The position in this pass at which each value is used for the last time. Values of a kOnce section of a
  // streaming Program are small and live on.
  void find_last_uses(const Pass& pass) {
    last_use_.assign(kernel_.terms.size(), kNone);
    for (std::size_t i = 0; i < pass.terms.size(); ++i) {
      for (const std::int32_t operand : kernel_.terms[pass.terms[i]].operands) {
        if (operand >= 0) last_use_[operand] = static_cast<int>(i);
      }
    }
    for (std::size_t o = 0; o < kernel_.outputs.size(); ++o) {
      if (stored_here(static_cast<int>(o)) && stored_last(static_cast<int>(o))) {
        last_use_[kernel_.outputs[o].term] = static_cast<int>(pass.terms.size());
      }
    }
  }

  bool stored_here(int output) const {
    if (!streaming_) return true;
    const bool chunked = (mask_of(space_.outputs[output]) & space_.reduced) != 0;
    return kernel_.terms[kernel_.outputs[output].term].level == level_ && chunked == (pass_ == SectionKind::kEach);
  }

  bool ends_here(std::int32_t term) const {
    if (streaming_ && (passes_.facts[term].once || pass_ == SectionKind::kOnce)) return false;
    return last_use_[term] <= now_;
  }

  // Frees the registers of what `term` used for the last time.
  void release(std::int32_t term) {
    for (const std::int32_t operand : kernel_.terms[term].operands) {
      if (operand >= 0 && ends_here(operand)) free_slot(operand);
    }
  }

  void free_slot(std::int32_t term) {
    const int slot = slots_[term];
    if (slot == kNone || !owned(slot)) return;
    give_back(slot);
    slots_[term] = kNone;
  }

  // What varies over the chunks is gone when they are through.
  void end_pass() {
    if (!streaming_ || pass_ != SectionKind::kEach) return;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      if (passes_.facts[i].once || std::ranges::find(passes_.kept, static_cast<std::int32_t>(i)) != passes_.kept.end()) continue;
      free_slot(static_cast<std::int32_t>(i));
      if (slots_[i] != kNone && !is_load(static_cast<std::int32_t>(i))) slots_[i] = kNone;
    }
  }

  bool is_load(std::int32_t term) const { return kernel_.terms[term].kind == TermKind::kLoad; }

  // ---- instructions -------------------------------------------------------------------------------------

  void push(Op op, Type type, Domain domain, int dst, std::initializer_list<int> operands) {
    Instruction in{.op = op, .type = type, .domain = domain, .dst = static_cast<std::uint16_t>(dst)};
    int i = 0;
    for (const int operand : operands) {
      in.operands[i] = static_cast<std::uint16_t>(operand);
      if (info(op).family == Family::kElementwise && !varies_inside(operand, domain)) in.broadcast |= 1u << i;
      ++i;
    }
    program_.sections.back().code.push_back(in);
  }

  // Whether a slot moves along the inner dimension of a domain.
  bool varies_inside(int slot, Domain domain) const {
    const Domain has = program_.slots[slot].domain;
    if (domain == Domain::kOne) return false;
    if (domain == Domain::kRow) return has == Domain::kRow || has == Domain::kTile;
    return has == Domain::kTile || has == Domain::kCol;
  }

  void compute(std::int32_t index) {
    const Term& term = kernel_.terms[index];
    const Domain domain = passes_.facts[index].domain;
    int operands[kMaxOperands] = {kNone, kNone, kNone};
    int count = 0;
    Type type = Type::f32;
    for (; count < kMaxOperands && term.operands[count] >= 0; ++count) {
      operands[count] = value(term.operands[count]);
      type = kernel_.terms[term.operands[count]].type;
    }
    // Operands that end here may give their place to the result.
    release(index);
    const int dst = destination(index);
    switch (count) {
      case 1: push(term.op, type, domain, dst, {operands[0]}); break;
      case 2: push(term.op, type, domain, dst, {operands[0], operands[1]}); break;
      default: push(term.op, type, domain, dst, {operands[0], operands[1], operands[2]}); break;
    }
    slots_[index] = dst;
  }

  // Kept scratch, an output that can be written in place, or a register.
  int destination(std::int32_t index) {
    if (slots_[index] != kNone) return slots_[index];
    const Term& term = kernel_.terms[index];
    const Domain domain = passes_.facts[index].domain;
    for (std::size_t o = 0; o < kernel_.outputs.size(); ++o) {
      if (kernel_.outputs[o].term != index || kernel_.outputs[o].type != term.type) continue;
      if (!stored_here(static_cast<int>(o))) continue;
      if (output_domain(static_cast<int>(o)) == domain && unit(space_.outputs[o], domain) &&
          mask_of(space_.outputs[o]) == passes_.facts[index].mask) {
        written_ = static_cast<int>(o);
        return output_slot(static_cast<int>(o));
      }
    }
    return take(term.type, domain);
  }

  void start_reduction(std::int32_t index) {
    const Term& term = kernel_.terms[index];
    const Type source = kernel_.terms[term.operands[0]].type;
    const Domain domain = passes_.facts[index].domain;
    slots_[index] = take(term.type, domain);
    const bool counts = info(term.op).accumulators > 1;
    push(Op::copy, term.type, domain, slots_[index], {constant(term.type, counts ? 0 : identity(term.op, term.type))});
    if (!counts) return;
    best_[index] = take(source, domain);
    push(Op::copy, source, domain, best_[index], {constant(source, identity(term.op, source))});
  }

  void reduce(std::int32_t index) {
    const Term& term = kernel_.terms[index];
    const Type type = kernel_.terms[term.operands[0]].type;
    const Domain domain = passes_.facts[index].domain;
    int source = value(term.operands[0]);
    int copy = kNone;
    if (program_.slots[source].domain != Domain::kTile) {
      copy = take(type, Domain::kTile);
      push(Op::load, type, Domain::kTile, copy, {source});
      source = copy;
    }
    if (best_[index] == kNone) {
      push(term.op, type, domain, slots_[index], {source});
    } else {
      push(term.op, type, domain, slots_[index], {source, best_[index], position_slot(space_.positions.size() - 1)});
    }
    if (copy != kNone) give_back(copy);
  }

  // ---- outputs ------------------------------------------------------------------------------------------

  void store_outputs(std::int32_t term) {
    for (int o = 0; o < static_cast<int>(kernel_.outputs.size()); ++o) {
      if (kernel_.outputs[o].term == term && o != written_ && stored_here(o) && !stored_last(o)) store(o);
    }
    written_ = kNone;
  }

  // Outputs that no instruction of this pass makes: reductions, loads, constants, positions, and in a streaming
  // Program a value computed once that is written along the chunks.
  bool stored_last(int output) const {
    const std::int32_t term = kernel_.outputs[output].term;
    if (kernel_.terms[term].kind != TermKind::kElementwise) return true;
    return streaming_ && passes_.facts[term].once && (mask_of(space_.outputs[output]) & space_.reduced) != 0;
  }

  void store_rest() {
    for (int o = 0; o < static_cast<int>(kernel_.outputs.size()); ++o) {
      if (stored_here(o) && stored_last(o)) store(o);
    }
  }

  void store(int output) {
    const KernelOutput& out = kernel_.outputs[output];
    const Domain domain = output_domain(output);
    const Type type = kernel_.terms[out.term].type;
    int source = value(out.term);
    std::vector<int> temporary;
    if (program_.slots[source].domain != domain) {
      temporary.push_back(take(type, domain));
      push(Op::load, type, domain, temporary.back(), {source});
      source = temporary.back();
    }
    const bool in_place = unit(space_.outputs[output], domain);
    if (out.type == type) {
      push(in_place ? Op::copy : Op::store, type, domain, output_slot(output), {source});
    } else if (in_place) {
      push(conversion_to(out.type), type, domain, output_slot(output), {source});
    } else {
      temporary.push_back(take(out.type, domain));
      push(conversion_to(out.type), type, domain, temporary.back(), {source});
      push(Op::store, out.type, domain, output_slot(output), {temporary.back()});
    }
    for (const int slot : temporary) give_back(slot);
  }

  Domain output_domain(int output) const { return domain_of(mask_of(space_.outputs[output]), tile_); }

  // ---- values -------------------------------------------------------------------------------------------

  // The slot in which a term can be read.
  int value(std::int32_t index) {
    const Term& term = kernel_.terms[index];
    if (slots_[index] != kNone) return slots_[index];
    switch (term.kind) {
      case TermKind::kConstant: return slots_[index] = constant(term.type, term.bits);
      case TermKind::kSize: return slots_[index] = constant(term.type, number_bits(shape_.sizes[size_number(index)], term.type));
      case TermKind::kScalar: return slots_[index] = add_slot({.kind = SlotKind::kScalar, .type = term.type, .domain = Domain::kOne, .index = static_cast<std::uint16_t>(term.index)});
      case TermKind::kIota: return slots_[index] = iota(index);
      default: return slots_[index] = load(index);
    }
  }

  int load(std::int32_t index) {
    const Term& term = kernel_.terms[index];
    const Access& access = space_.inputs[term.index];
    const Domain domain = passes_.facts[index].domain;
    const Type stored = kernel_.inputs[term.index].type;
    const int memory = input_slot(term.index, stored, domain);
    const bool in_place = unit(access, domain);
    if (stored == term.type && in_place) return memory;
    int source = memory;
    if (!in_place) {
      source = take(stored, domain);
      push(Op::load, stored, domain, source, {memory});
    }
    if (stored == term.type) return source;
    const int made = take(term.type, domain);
    push(conversion_to(term.type), stored, domain, made, {source});
    if (source != memory) give_back(source);
    return made;
  }

  int iota(std::int32_t index) {
    std::size_t number = 0;
    for (std::int32_t i = 0; i < index; ++i) number += kernel_.terms[i].kind == TermKind::kIota;
    const Domain domain = passes_.facts[index].domain;
    const int slot = take(Type::i64, domain);
    push(Op::iota, Type::i64, domain, slot, {position_slot(number)});
    return slot;
  }

  std::size_t size_number(std::int32_t index) const {
    std::size_t number = 0;
    for (std::int32_t i = 0; i < index; ++i) number += kernel_.terms[i].kind == TermKind::kSize;
    return number;
  }

  // Whether elements follow one another along the inner dimension of the domain.
  bool unit(const Access& access, Domain domain) const {
    if (domain == Domain::kOne) return true;
    const int axis = domain == Domain::kRow ? tile_.row : tile_.col;
    return access.strides[axis] == access.bytes;
  }

  // ---- slots --------------------------------------------------------------------------------------------

  int add_slot(const Slot& slot) {
    program_.slots.push_back(slot);
    return static_cast<int>(program_.slots.size()) - 1;
  }

  void set_strides(Slot& slot, const Strides& strides) const {
    for (std::size_t i = 0; i < space_.axes.size(); ++i) slot.strides[i] = strides[i];
  }

  int input_slot(int input, Type type, Domain domain) {
    if (memory_[input] != kNone) return memory_[input];
    Slot slot{.kind = SlotKind::kArgument, .type = type, .domain = domain, .index = static_cast<std::uint16_t>(input)};
    set_strides(slot, space_.inputs[input].strides);
    return memory_[input] = add_slot(slot);
  }

  int output_slot(int output) {
    Slot slot{.kind = SlotKind::kArgument, .type = kernel_.outputs[output].type, .domain = output_domain(output),
              .index = static_cast<std::uint16_t>(kernel_.inputs.size() + output)};
    set_strides(slot, space_.outputs[output].strides);
    if (parts_.count > 1) slot.part_stride = parts_.output_strides[output];
    return find_or_add(slot);
  }

  int position_slot(std::size_t number) {
    Slot slot{.kind = SlotKind::kIndex, .type = Type::i64, .domain = domain_of(mask_of(space_.positions[number]), tile_)};
    set_strides(slot, space_.positions[number].strides);
    return find_or_add(slot);
  }

  int constant(Type type, std::uint64_t bits) {
    return find_or_add({.kind = SlotKind::kConstant, .type = type, .domain = Domain::kOne, .offset = static_cast<std::int64_t>(bits)});
  }

  int kept_slot(std::int32_t term) {
    Slot slot{.kind = SlotKind::kKept, .type = kernel_.terms[term].type, .domain = passes_.facts[term].domain};
    std::int64_t step = bytes(slot.type);
    // The whole of every reduced axis, and of the parallel ones what is in the tile; columns innermost.
    const auto place = [&](int axis, std::int64_t count) {
      slot.strides[axis] = step;
      step *= count;
    };
    const auto count_of = [&](int axis) {
      return space_.reduced >> axis & 1 ? space_.axes[axis].extent : program_.axes[axis].block;
    };
    if (tile_.col >= 0) place(tile_.col, count_of(tile_.col));
    for (int axis = static_cast<int>(space_.axes.size()) - 1; axis >= 0; --axis) {
      if (axis != tile_.col && ((space_.reduced >> axis & 1) || axis == tile_.row)) place(axis, count_of(axis));
    }
    slot.offset = registers_.take(step);
    return add_slot(slot);
  }

  int find_or_add(const Slot& slot) {
    const auto it = std::ranges::find(program_.slots, slot);
    return it != program_.slots.end() ? static_cast<int>(it - program_.slots.begin()) : add_slot(slot);
  }

  std::int64_t register_bytes(Type type, Domain domain) const {
    const bool rows = domain == Domain::kTile || domain == Domain::kRow;
    const bool cols = domain == Domain::kTile || domain == Domain::kCol;
    return bytes(type) * (rows ? tile_.rows : 1) * (cols ? tile_.cols : 1);
  }

  int take(Type type, Domain domain) {
    return find_or_add({.kind = SlotKind::kRegister, .type = type, .domain = domain, .offset = registers_.take(register_bytes(type, domain))});
  }

  bool owned(int slot) const { return program_.slots[slot].kind == SlotKind::kRegister; }

  void give_back(int slot) {
    const Slot& s = program_.slots[slot];
    registers_.give_back(s.offset, register_bytes(s.type, s.domain));
  }

  const Kernel& kernel_;
  const KernelShape& shape_;
  const Space& space_;
  const Tiling& tile_;
  const Parts& parts_;
  bool streaming_;
  Passes passes_;
  Program program_;
  Registers registers_;
  std::vector<int> slots_;   // per term: where its value is now
  std::vector<int> memory_;  // per input
  std::vector<int> best_;    // per argmax: its second accumulator
  std::vector<int> last_use_;
  SectionKind pass_ = SectionKind::kOnce;
  int level_ = 0;  // reductions finished before this pass
  int now_ = 0;
  int written_ = kNone;  // the output that the last instruction wrote in place
};

}  // namespace

Program emit(const Kernel& kernel, const KernelShape& shape, const Space& space, const Tiling& tile, const Parts& parts) {
  return Emitter(kernel, shape, space, tile, parts).run();
}

}  // namespace dvm
