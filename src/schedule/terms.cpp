#include "schedule/terms.h"

#include <algorithm>

namespace dvm {
namespace {

// Kept rows live in the second-level cache beside what streams through it.
constexpr std::int64_t kKeptBytes = 256 << 10;

bool computed(const Term& term) {
  return term.kind == TermKind::kElementwise || term.kind == TermKind::kReduce;
}

std::vector<TermFacts> find_facts(const Kernel& kernel, const Space& space, const Tiling& tile) {
  std::vector<TermFacts> facts(kernel.terms.size());
  std::size_t position = 0;
  for (std::size_t i = 0; i < facts.size(); ++i) {
    const Term& term = kernel.terms[i];
    TermFacts& fact = facts[i];
    switch (term.kind) {
      case TermKind::kLoad:
        fact.mask = mask_of(space.inputs[term.index]);
        break;
      case TermKind::kIota:
        fact.mask = mask_of(space.positions[position++]);
        break;
      case TermKind::kReduce:
        fact.mask = space.all() & ~space.reduced;
        break;
      case TermKind::kElementwise:
        fact.costly = (info(term.op).properties & kCostly) != 0;
        if (term.op == Op::gather) fact.mask = mask_of(space.inputs[term.index]) & space.all();
        for (const std::int32_t operand : term.operands) {
          if (operand < 0) continue;
          fact.mask |= facts[operand].mask;
          fact.costly = fact.costly || (facts[operand].costly && !facts[operand].once);
        }
        break;
      default:
        break;
    }
    fact.domain = domain_of(fact.mask, tile);
    fact.once = (fact.mask & space.reduced) == 0;
  }
  return facts;
}

class Planner {
 public:
  Planner(const Kernel& kernel, const Space& space, const Tiling& tile)
      : kernel_(kernel), space_(space), tile_(tile), computed_before_(kernel.terms.size(), 0) {
    passes_.facts = find_facts(kernel, space, tile);
  }

  Passes one_pass() {
    Pass pass;
    for (std::size_t i = 0; i < kernel_.terms.size(); ++i) {
      const Term& term = kernel_.terms[i];
      if (term.kind == TermKind::kReduce) pass.starts.push_back(static_cast<std::int32_t>(i));
      if (computed(term)) pass.terms.push_back(static_cast<std::int32_t>(i));
    }
    passes_.list.push_back(std::move(pass));
    return std::move(passes_);
  }

  Passes streaming() {
    int levels = 0;
    for (const Term& term : kernel_.terms) levels = std::max(levels, term.level);
    budget_ = kKeptBytes;
    row_ = tile_.row >= 0 && space_.axes[tile_.row].role == Role::kParallel ? tile_.rows : 1;
    if (tile_.col >= 0 && space_.axes[tile_.col].role == Role::kParallel) row_ *= tile_.cols;
    for (int i = 0; const Axis& axis : space_.axes) {
      if (space_.reduced >> i++ & 1) row_ *= axis.extent;
    }
    for (int level = 0; level <= levels; ++level) {
      before(level);
      over_chunks(level);
    }
    return std::move(passes_);
  }

 private:
  void before(int level) {
    Pass pass{.kind = SectionKind::kOnce, .starts = {}, .terms = {}};
    for (std::size_t i = 0; i < kernel_.terms.size(); ++i) {
      const Term& term = kernel_.terms[i];
      const auto index = static_cast<std::int32_t>(i);
      if (term.kind == TermKind::kReduce && term.level == level + 1) pass.starts.push_back(index);
      if (term.kind == TermKind::kElementwise && passes_.facts[i].once && term.level == level)
        pass.terms.push_back(index);
    }
    passes_.list.push_back(std::move(pass));
  }

  // Everything that varies along the chunks and that reductions or outputs of this level need, computed anew
  // unless it was kept.
  void over_chunks(int level) {
    std::vector<char> need(kernel_.terms.size(), 0);
    const auto is_chunked = [&](std::int32_t i) { return i >= 0 && !passes_.facts[i].once; };
    for (const KernelOutput& output : kernel_.outputs) {
      if (is_chunked(output.term) && kernel_.terms[output.term].level == level)
        need[output.term] = 1;
    }
    Pass pass{.kind = SectionKind::kEach, .starts = {}, .terms = {}};
    for (std::size_t i = kernel_.terms.size(); i-- > 0;) {
      const Term& term = kernel_.terms[i];
      const auto index = static_cast<std::int32_t>(i);
      const bool reduces = term.kind == TermKind::kReduce && term.level == level + 1;
      if (!reduces && !need[i]) continue;
      if (!computed(term) || (!reduces && term.level < level && keep(index))) continue;
      pass.terms.push_back(index);
      computed_before_[i] = 1;
      for (const std::int32_t operand : term.operands) {
        if (is_chunked(operand)) need[operand] = 1;
      }
    }
    std::ranges::reverse(pass.terms);
    passes_.list.push_back(std::move(pass));
  }

  // Whether a value of an earlier pass is worth its place in scratch; a cheap one is computed again.
  bool keep(std::int32_t term) {
    if (std::ranges::find(passes_.kept, term) != passes_.kept.end()) return true;
    const std::int64_t size = row_ * bytes(kernel_.terms[term].type);
    if (!computed_before_[term] || !passes_.facts[term].costly || size > budget_) return false;
    budget_ -= size;
    passes_.kept.push_back(term);
    return true;
  }

  const Kernel& kernel_;
  const Space& space_;
  const Tiling& tile_;
  Passes passes_;
  std::vector<char> computed_before_;
  std::int64_t budget_ = 0;
  std::int64_t row_ = 1;  // elements of a kept value
};

}  // namespace

Domain domain_of(AxisMask mask, const Tiling& tile) {
  const bool cols = tile.col >= 0 && (mask >> tile.col & 1);
  if (tile.row < 0) return cols ? Domain::kTile : Domain::kOne;
  const bool rows = mask >> tile.row & 1;
  return rows ? (cols ? Domain::kTile : Domain::kRow) : (cols ? Domain::kCol : Domain::kOne);
}

Passes plan_passes(const Kernel& kernel, const Space& space, const Tiling& tile, bool streaming) {
  Planner planner(kernel, space, tile);
  return streaming ? planner.streaming() : planner.one_pass();
}

}  // namespace dvm
