// The peephole over a Kernel's terms: superinstructions where a pair of terms makes one and nobody else needs the
// first of them. Runs once per model, so the Schedule sees the final terms.
#include <algorithm>
#include <utility>

#include "fuse/lower.h"

namespace dvm {
namespace {

class Combiner {
 public:
  explicit Combiner(Kernel& kernel) : kernel_(kernel), uses_(kernel.terms.size(), 0) {
    for (const Term& term : kernel.terms) {
      for (const std::int32_t operand : term.operands) {
        if (operand >= 0) ++uses_[operand];
      }
    }
    for (const KernelOutput& output : kernel.outputs) ++uses_[output.term];
  }

  void run() {
    for (Term& term : kernel_.terms) convert_at_load(term);
    for (KernelOutput& output : kernel_.outputs) convert_at_store(output);
    for (Term& term : kernel_.terms) combine(term);
    drop_unused();
  }

 private:
  static bool is_conversion(const Term& term) {
    return term.kind == TermKind::kElementwise && info(term.op).result >= Result::kF32;
  }

  // From a storage type to its compute type and on to another is one conversion: widening loses nothing.
  void convert_at_load(Term& term) {
    if (!is_conversion(term) || uses_[term.operands[0]] != 1) return;
    const Term& load = kernel_.terms[term.operands[0]];
    if (load.kind != TermKind::kLoad) return;
    const Type stored = kernel_.inputs[load.index].type;
    if (stored == load.type || info(stored).kind == Kind::kFloat) return;
    const Type type = term.type;
    term = load;
    term.type = type;
  }

  // And so is one to an integer and on to a narrower one, which keeps the low bits.
  void convert_at_store(KernelOutput& output) {
    const Term& term = kernel_.terms[output.term];
    const bool narrows =
        info(output.type).kind == Kind::kInteger && bytes(output.type) < bytes(Type::i32);
    if (!narrows || !is_conversion(term) || term.op != Op::to_i32) return;
    --uses_[output.term];
    output.term = term.operands[0];
  }

  // The elementwise term behind operand i, if it is `op` and only used here.
  const Term* only(const Term& term, int i, Op op) const {
    if (term.operands[i] < 0 || uses_[term.operands[i]] != 1) return nullptr;
    const Term& behind = kernel_.terms[term.operands[i]];
    return behind.kind == TermKind::kElementwise && behind.op == op ? &behind : nullptr;
  }

  void become(Term& term, Op op, const Term& inner, int inner_operands, int outer) {
    const std::int32_t rest = outer < 0 ? -1 : term.operands[outer];
    term.op = op;
    for (int i = 0; i < kMaxOperands; ++i)
      term.operands[i] = i < inner_operands ? inner.operands[i] : -1;
    if (outer >= 0) term.operands[inner_operands] = rest;
  }

  void combine(Term& term) {
    if (term.kind == TermKind::kReduce) {
      if (info(term.type).kind != Kind::kFloat) return;
      if (term.op == Op::sum) combine_sum(term);
      if (term.op == Op::sum_squares) combine_squares(term);
      return;
    }
    if (term.kind != TermKind::kElementwise) return;
    const Term* inner = nullptr;
    switch (term.op) {
      case Op::exp:
        if ((inner = only(term, 0, Op::sub))) return become(term, Op::exp_sub, *inner, 2, -1);
        break;
      case Op::square:
        if ((inner = only(term, 0, Op::sub))) return become(term, Op::square_diff, *inner, 2, -1);
        break;
      case Op::add:
        for (int i = 0; i < 2; ++i) {
          if ((inner = only(term, i, Op::mul)) && fits(*inner, term))
            return become(term, Op::multiply_add, *inner, 2, 1 - i);
        }
        break;
      default:
        break;
    }
    combine_pair(term);
  }

  void combine_pair(Term& term) {
    for (const Pair& pair : kPairs) {
      if (pair.outer != term.op || !contains(info(pair.both).types, term.type)) continue;
      const bool commutes = (info(pair.outer).properties & kCommutative) != 0;
      for (int i = 0; i < (commutes ? 2 : 1); ++i) {
        const Term* inner = only(term, i, pair.inner);
        if (inner == nullptr || !fits(*inner, term)) continue;
        if (!stays_flat(pair, *inner, term)) continue;
        return become(term, pair.both, *inner, info(pair.inner).arity,
                      info(pair.outer).arity == 2 ? 1 - i : -1);
      }
    }
  }

  // A tile whose operands are all whole runs as one long row. Short rows with a broadcast operand do not, and a costly
  // instruction would waste most of its last vector on each: better it runs alone on the result.
  bool stays_flat(const Pair& pair, const Term& inner, const Term& outer) const {
    if (!(info(pair.both).properties & kCostly)) return true;
    for (const Term* half : {&inner, &outer}) {
      for (const std::int32_t operand : half->operands) {
        const AxisMask mask = operand < 0 ? 0 : kernel_.terms[operand].mask;
        if (mask != 0 && mask != outer.mask) return false;
      }
    }
    return true;
  }

  // A product of row values does not move into the tile.
  static bool fits(const Term& inner, const Term& outer) { return inner.mask == outer.mask; }

  // A sum of products that nobody else needs is not stored.
  void combine_sum(Term& term) {
    if (term.operands[0] < 0 || uses_[term.operands[0]] != 1) return;
    const Term& behind = kernel_.terms[term.operands[0]];
    if (behind.kind != TermKind::kElementwise) return;
    if (behind.op == Op::square ||
        (behind.op == Op::mul && behind.operands[0] == behind.operands[1])) {
      term.op = Op::sum_squares;
      term.operands[0] = behind.operands[0];
      if (behind.op == Op::mul) --uses_[term.operands[0]];
    } else if (behind.op == Op::mul) {
      sum_of_two(term, Op::sum_products, behind);
    } else if (behind.op == Op::square_diff) {
      sum_of_two(term, Op::sum_square_diff, behind);
    }
  }

  // A difference is as cheap to compute again as to keep, so others may need it too.
  void combine_squares(Term& term) {
    const std::int32_t source = term.operands[0];
    const Term& behind = kernel_.terms[source];
    if (behind.kind != TermKind::kElementwise || behind.op != Op::sub) return;
    if (!sum_of_two(term, Op::sum_square_diff, behind)) return;
    if (--uses_[source] == 0) return;
    for (const std::int32_t operand : {term.operands[0], term.operands[1]}) ++uses_[operand];
  }

  // The first operand is read as a whole tile.
  bool sum_of_two(Term& term, Op op, const Term& behind) {
    std::int32_t a = behind.operands[0], b = behind.operands[1];
    if (kernel_.terms[a].mask != behind.mask) std::swap(a, b);
    if (kernel_.terms[a].mask != behind.mask) return false;
    term.op = op;
    term.operands[0] = a;
    term.operands[1] = b;
    return true;
  }

  void drop_unused() {
    std::vector<char> used(kernel_.terms.size(), 0);
    for (const KernelOutput& output : kernel_.outputs) used[output.term] = 1;
    for (std::size_t i = kernel_.terms.size(); i-- > 0;) {
      if (!used[i]) continue;
      for (const std::int32_t operand : kernel_.terms[i].operands) {
        if (operand >= 0) used[operand] = 1;
      }
    }
    std::vector<std::int32_t> renamed(kernel_.terms.size(), -1);
    std::vector<Term> kept;
    for (std::size_t i = 0; i < kernel_.terms.size(); ++i) {
      if (!used[i]) continue;
      renamed[i] = static_cast<std::int32_t>(kept.size());
      kept.push_back(kernel_.terms[i]);
      for (std::int32_t& operand : kept.back().operands)
        operand = operand < 0 ? -1 : renamed[operand];
    }
    kernel_.terms = std::move(kept);
    for (KernelOutput& output : kernel_.outputs) output.term = renamed[output.term];
  }

  Kernel& kernel_;
  std::vector<int> uses_;
};

}  // namespace

void combine(Kernel& kernel) { Combiner(kernel).run(); }

}  // namespace dvm
