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
    for (Term& term : kernel_.terms) combine(term);
    drop_unused();
  }

 private:
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
    if (info(term.type).kind != Kind::kFloat) return;
    if (term.kind == TermKind::kReduce && term.op == Op::sum) return combine_sum(term);
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
      if (pair.outer != term.op) continue;
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

  void combine_sum(Term& term) {
    if (const Term* square = only(term, 0, Op::square)) {
      term.op = Op::sum_squares;
      term.operands[0] = square->operands[0];
      return;
    }
    if (term.operands[0] < 0 || uses_[term.operands[0]] != 1) return;
    const Term& behind = kernel_.terms[term.operands[0]];
    if (behind.kind == TermKind::kElementwise && behind.op == Op::mul &&
        behind.operands[0] == behind.operands[1]) {
      term.op = Op::sum_squares;
      term.operands[0] = behind.operands[0];
    }
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
