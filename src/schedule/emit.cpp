#include "schedule/emit.h"

#include <algorithm>

#include "schedule/literals.h"
#include "schedule/slot_table.h"
#include "schedule/terms.h"

namespace dvm {
namespace {

constexpr int kNone = -1;

class Emitter {
 public:
  Emitter(const Kernel& kernel, const KernelShape& shape, const Space& space, const Tiling& tile,
          const Parts& parts)
      : kernel_(kernel),
        shape_(shape),
        space_(space),
        tile_(tile),
        parts_(parts),
        streaming_(tile.chunks != 1 || parts.count > 1),
        passes_(plan_passes(kernel, space, tile, streaming_)),
        table_(kernel, space, tile, parts),
        slots_(kernel.terms.size(), kNone),
        best_(kernel.terms.size(), kNone),
        lent_(kernel.outputs.size(), kNone),
        placed_(kernel.outputs.size(), 0) {}

  Program run() {
    program_.axes = space_.axes;
    if (tile_.row >= 0) program_.axes[tile_.row].block = tile_.rows;
    if (tile_.col >= 0) program_.axes[tile_.col].block = tile_.cols;
    program_.row_axis = tile_.row;
    program_.col_axis = tile_.col;
    program_.parts = parts_.count;
    program_.arguments = static_cast<std::uint16_t>(kernel_.inputs.size() + kernel_.outputs.size());
    program_.scalars = static_cast<std::uint16_t>(kernel_.scalars.size());
    for (const std::int32_t term : passes_.kept)
      slots_[term] = table_.kept(kernel_.terms[term].type, passes_.facts[term].domain,
                                 passes_.facts[term].mask);
    for (std::size_t i = 0; i < passes_.list.size(); ++i) {
      emit_pass(passes_.list[i]);
      if (i + 1 < passes_.list.size() && pass_ == SectionKind::kOnce) preload(passes_.list[i + 1]);
      if (pass_ == SectionKind::kEach) ++level_;
    }
    std::erase_if(program_.sections, [](const Section& section) { return section.code.empty(); });
    program_.scratch_bytes = table_.scratch_bytes();
    program_.slots = table_.release();
    return std::move(program_);
  }

 private:
  void emit_pass(const Pass& pass) {
    pass_ = pass.kind;
    program_.sections.push_back({pass.kind, {}});
    program_.sections.back().code.reserve(pass.starts.size() + pass.terms.size() + 4);
    if (streaming_) {
      for (const std::int32_t term : pass.starts) start_reduction(term);
    }
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
      if (term >= 0 && passes_.facts[term].once &&
          kernel_.terms[term].kind != TermKind::kElementwise)
        value(term);
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
    position_.assign(kernel_.terms.size(), kNone);
    for (std::size_t i = 0; i < pass.terms.size(); ++i) {
      position_[pass.terms[i]] = static_cast<int>(i);
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
    return kernel_.terms[kernel_.outputs[output].term].level == level_ &&
           chunked == (pass_ == SectionKind::kEach);
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
    const auto lent = std::ranges::find(lent_, term);
    if (lent != lent_.end()) {
      *lent = kNone;
    } else {
      if (slot == kNone || !table_.is_register(slot)) return;
      table_.give_back(slot);
    }
    slots_[term] = kNone;
  }

  // What varies over the chunks is gone when they are through.
  void end_pass() {
    if (!streaming_ || pass_ != SectionKind::kEach) return;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      if (passes_.facts[i].once ||
          std::ranges::find(passes_.kept, static_cast<std::int32_t>(i)) != passes_.kept.end())
        continue;
      free_slot(static_cast<std::int32_t>(i));
      if (slots_[i] != kNone && !is_load(static_cast<std::int32_t>(i))) slots_[i] = kNone;
    }
  }

  bool is_load(std::int32_t term) const { return kernel_.terms[term].kind == TermKind::kLoad; }

  void push(Op op, Type type, Domain domain, int dst, std::initializer_list<int> operands) {
    Instruction in{
        .op = op, .type = type, .domain = domain, .dst = static_cast<std::uint16_t>(dst)};
    int i = 0;
    for (const int operand : operands) {
      in.operands[i] = static_cast<std::uint16_t>(operand);
      // The first operand of a reduction is a whole tile, and those of argmax that follow are accumulators.
      const bool reduces = info(op).family == Family::kReduce;
      const bool may_broadcast =
          reduces ? i == 1 && info(op).arity == 2 : info(op).family == Family::kElementwise;
      if (may_broadcast && !varies_inside(operand, reduces ? Domain::kTile : domain))
        in.broadcast |= 1u << i;
      ++i;
    }
    program_.sections.back().code.push_back(in);
  }

  // Whether a slot moves along the inner dimension of a domain.
  bool varies_inside(int slot, Domain domain) const {
    const Domain has = table_[slot].domain;
    if (domain == Domain::kOne) return false;
    if (domain == Domain::kRow) return has == Domain::kRow || has == Domain::kTile;
    return has == Domain::kTile || has == Domain::kCol;
  }

  void compute(std::int32_t index) {
    const Term& term = kernel_.terms[index];
    if (term.op == Op::gather) return gather(index);
    const Domain domain = passes_.facts[index].domain;
    int operands[kMaxOperands] = {kNone, kNone, kNone};
    int count = 0;
    Type type = Type::f32;
    for (; count < kMaxOperands && term.operands[count] >= 0; ++count) {
      operands[count] = value(term.operands[count]);
      type = kernel_.terms[term.operands[count]].type;
    }
    // An operand that ends here may give its place to the result, if each element is read where it is written.
    for (const std::int32_t operand : term.operands) {
      if (operand >= 0 && ends_here(operand) && passes_.facts[operand].domain == domain &&
          bytes(kernel_.terms[operand].type) == bytes(term.type)) {
        free_slot(operand);
      }
    }
    const int dst = destination(index);
    switch (count) {
      case 1:
        push(term.op, type, domain, dst, {operands[0]});
        break;
      case 2:
        push(term.op, type, domain, dst, {operands[0], operands[1]});
        break;
      default:
        push(term.op, type, domain, dst, {operands[0], operands[1], operands[2]});
        break;
    }
    slots_[index] = dst;
  }

  void gather(std::int32_t index) {
    const Term& term = kernel_.terms[index];
    const Domain domain = passes_.facts[index].domain;
    const Type stored = kernel_.inputs[term.index].type;
    const int source = table_.input(term.index, stored, domain);
    const int by = value(term.operands[0]);
    const bool converts = stored != term.type;
    const int dst = converts ? table_.take(stored, domain) : destination(index);
    // Elements that all lie in one place need no choice.
    if (shape_.picked[static_cast<std::size_t>(term.index)].stride == 0) {
      push(Op::load, stored, domain, dst, {source});
    } else {
      push(Op::gather, stored, domain, dst, {source, by});
    }
    slots_[index] = converts ? destination(index) : dst;
    if (!converts) return;
    push(conversion_to(term.type), stored, domain, slots_[index], {dst});
    table_.give_back(dst);
  }

  // Kept scratch, an output that can be written in place, the place of one that comes later, or a register.
  int destination(std::int32_t index) {
    if (slots_[index] != kNone) return slots_[index];
    const Term& term = kernel_.terms[index];
    const Domain domain = passes_.facts[index].domain;
    for (std::size_t o = 0; o < kernel_.outputs.size(); ++o) {
      if (kernel_.outputs[o].term != index || !written_in_place(static_cast<int>(o))) continue;
      written_ = static_cast<int>(o);
      placed_[o] = kernel_.terms[index].kind == TermKind::kReduce;
      return table_.output(static_cast<int>(o));
    }
    const int later = domain == Domain::kTile ? later_output(index) : kNone;
    if (later == kNone) return table_.take(term.type, domain);
    lent_[later] = index;
    return table_.output(later);
  }

  // Whether the instruction that makes an output's value writes it to memory.
  bool written_in_place(int output) const {
    const KernelOutput& out = kernel_.outputs[output];
    const TermFacts& facts = passes_.facts[out.term];
    return out.type == kernel_.terms[out.term].type && stored_here(output) &&
           table_.output_domain(output) == facts.domain &&
           unit(space_.outputs[output], facts.domain) &&
           mask_of(space_.outputs[output]) == facts.mask;
  }

  // An output that has room for a value until its own is made. Memory then takes the first write while operands are
  // read; a register would wait in the store queue behind writes that miss the cache, and all reads behind it.
  // Outputs overlap nothing, except those that are to lie where an input does, which was read just before.
  int later_output(std::int32_t index) const {
    if (streaming_ && pass_ == SectionKind::kOnce) return kNone;
    for (std::size_t o = 0; o < kernel_.outputs.size(); ++o) {
      if (!shape_.overwrites.empty() && shape_.overwrites[o] != 0) continue;
      const KernelOutput& out = kernel_.outputs[o];
      const int made = position_[out.term];
      if (lent_[o] == kNone && made > now_ && last_use_[index] <= made &&
          kernel_.terms[out.term].kind == TermKind::kElementwise &&
          out.type == kernel_.terms[index].type &&
          passes_.facts[out.term].mask == passes_.facts[index].mask &&
          written_in_place(static_cast<int>(o)))
        return static_cast<int>(o);
    }
    return kNone;
  }

  void start_reduction(std::int32_t index) {
    const Term& term = kernel_.terms[index];
    const Type source = kernel_.terms[term.operands[0]].type;
    const Domain domain = passes_.facts[index].domain;
    slots_[index] = table_.take(term.type, domain);
    const bool counts = info(term.op).accumulators > 1;
    push(Op::copy, term.type, domain, slots_[index],
         {table_.constant(term.type, counts ? 0 : identity_bits(term.op, term.type))});
    if (!counts) return;
    best_[index] = table_.take(source, domain);
    push(Op::copy, source, domain, best_[index],
         {table_.constant(source, identity_bits(term.op, source))});
  }

  void reduce(std::int32_t index) {
    const Term& term = kernel_.terms[index];
    const Type type = kernel_.terms[term.operands[0]].type;
    const Domain domain = passes_.facts[index].domain;
    if (!streaming_) {  // the instruction sets its accumulators
      slots_[index] = destination(index);
      if (info(term.op).accumulators > 1) best_[index] = table_.take(type, domain);
    }
    int source = value(term.operands[0]);
    int copy = kNone;
    if (table_[source].domain != Domain::kTile) {
      copy = table_.take(type, Domain::kTile);
      push(Op::load, type, Domain::kTile, copy, {source});
      source = copy;
    }
    if (info(term.op).arity == 2) {
      push(term.op, type, domain, slots_[index], {source, value(term.operands[1])});
    } else if (best_[index] == kNone) {
      push(term.op, type, domain, slots_[index], {source});
    } else {
      push(term.op, type, domain, slots_[index],
           {source, best_[index], table_.position(space_.positions.size() - 1)});
    }
    if (copy != kNone) table_.give_back(copy);
  }

  void store_outputs(std::int32_t term) {
    for (int o = 0; o < static_cast<int>(kernel_.outputs.size()); ++o) {
      if (kernel_.outputs[o].term == term && o != written_ && stored_here(o) && !stored_last(o))
        store(o);
    }
    written_ = kNone;
  }

  // Outputs that no instruction of this pass makes: reductions, loads, constants, positions, and in a streaming
  // Program a value computed once that is written along the chunks.
  bool stored_last(int output) const {
    const std::int32_t term = kernel_.outputs[output].term;
    if (kernel_.terms[term].kind != TermKind::kElementwise) return true;
    return streaming_ && passes_.facts[term].once &&
           (mask_of(space_.outputs[output]) & space_.reduced) != 0;
  }

  void store_rest() {
    for (int o = 0; o < static_cast<int>(kernel_.outputs.size()); ++o) {
      if (stored_here(o) && stored_last(o) && !placed_[static_cast<std::size_t>(o)]) store(o);
    }
  }

  void store(int output) {
    const KernelOutput& out = kernel_.outputs[output];
    const Domain domain = table_.output_domain(output);
    const Type type = kernel_.terms[out.term].type;
    int source = value(out.term);
    std::vector<int> temporary;
    if (table_[source].domain != domain) {
      temporary.push_back(table_.take(type, domain));
      push(Op::load, type, domain, temporary.back(), {source});
      source = temporary.back();
    }
    const bool in_place = unit(space_.outputs[output], domain);
    if (out.type == type) {
      push(in_place ? Op::copy : Op::store, type, domain, table_.output(output), {source});
    } else if (in_place) {
      push(conversion_to(out.type), type, domain, table_.output(output), {source});
    } else {
      temporary.push_back(table_.take(out.type, domain));
      push(conversion_to(out.type), type, domain, temporary.back(), {source});
      push(Op::store, out.type, domain, table_.output(output), {temporary.back()});
    }
    for (const int slot : temporary) table_.give_back(slot);
  }

  // The slot in which a term can be read.
  int value(std::int32_t index) {
    const Term& term = kernel_.terms[index];
    if (slots_[index] != kNone) return slots_[index];
    switch (term.kind) {
      case TermKind::kConstant:
        return slots_[index] = table_.constant(term.type, term.bits);
      case TermKind::kSize:
        return slots_[index] = table_.constant(
                   term.type, number_bits(shape_.sizes[size_number(index)], term.type));
      case TermKind::kScalar:
        return slots_[index] = table_.scalar(term.type, term.index);
      case TermKind::kIota:
        return slots_[index] = iota(index);
      default:
        return slots_[index] = load(index);
    }
  }

  int load(std::int32_t index) {
    const Term& term = kernel_.terms[index];
    const Access& access = space_.inputs[term.index];
    const Domain domain = passes_.facts[index].domain;
    const Type stored = kernel_.inputs[term.index].type;
    const int memory = table_.input(term.index, stored, domain);
    const bool in_place = unit(access, domain);
    if (stored == term.type && in_place) return memory;
    int source = memory;
    if (!in_place) {
      source = table_.take(stored, domain);
      push(Op::load, stored, domain, source, {memory});
    }
    if (stored == term.type) return source;
    const int made = table_.take(term.type, domain);
    push(conversion_to(term.type), stored, domain, made, {source});
    if (source != memory) table_.give_back(source);
    return made;
  }

  int iota(std::int32_t index) {
    std::size_t number = 0;
    for (std::int32_t i = 0; i < index; ++i) number += kernel_.terms[i].kind == TermKind::kIota;
    const Domain domain = passes_.facts[index].domain;
    const int slot = table_.take(Type::i64, domain);
    push(Op::iota, Type::i64, domain, slot, {table_.position(number)});
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

  const Kernel& kernel_;
  const KernelShape& shape_;
  const Space& space_;
  const Tiling& tile_;
  const Parts& parts_;
  bool streaming_;
  Passes passes_;
  Program program_;
  SlotTable table_;
  std::vector<int> slots_;  // per term: where its value is now
  std::vector<int> best_;   // per argmax: its second accumulator
  std::vector<int> last_use_;
  std::vector<int> position_;       // in the pass, per term
  std::vector<std::int32_t> lent_;  // per output: whose value it holds before its own
  std::vector<char> placed_;        // per output: whether a reduction writes it in place
  SectionKind pass_ = SectionKind::kOnce;
  int level_ = 0;  // reductions finished before this pass
  int now_ = 0;
  int written_ = kNone;  // the output that the last instruction wrote in place
};

}  // namespace

Program emit(const Kernel& kernel, const KernelShape& shape, const Space& space, const Tiling& tile,
             const Parts& parts) {
  return Emitter(kernel, shape, space, tile, parts).run();
}

}  // namespace dvm
