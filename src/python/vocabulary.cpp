#include "python/vocabulary.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

namespace dvm::python {
namespace {

// From so many sets of numbers on, an operation is tried with numbers that come with each call.
constexpr int kFewNumbers = 3;
constexpr int kManyNumbers = 64;

// The helper says, of a call as it is, what torch has to do with it, or what a Template is made of.
void fill(Phrase& phrase, const nb::object& made) {
  if (nb::isinstance<nb::int_>(made)) {
    phrase.treatment = static_cast<Treatment>(nb::cast<int>(made));
    return;
  }
  const nb::tuple parts = nb::cast<nb::tuple>(made);
  phrase.made_by = std::make_unique<eager::Template>(nb::cast<std::string>(parts[0]),
                                                     nb::cast<const Graph&>(parts[1]),
                                                     nb::cast<std::vector<int>>(parts[2]));
  phrase.numbers = nb::cast<std::vector<int>>(parts[3]);
  phrase.pack = nb::borrow(parts[4]);
  phrase.treatment = Treatment::kRecord;
}

}  // namespace

std::size_t Vocabulary::Hash::operator()(const std::vector<std::uint64_t>& key) const {
  std::uint64_t hash = key.size();
  for (const std::uint64_t word : key) hash = (hash ^ word) * 0x9e3779b97f4a7c15u ^ hash >> 31;
  return hash;
}

Vocabulary& Vocabulary::process() {
  static auto* const vocabulary = new Vocabulary;
  return *vocabulary;
}

Treatment Vocabulary::of(PyObject* function, nb::handle helper) {
  const auto known = functions_.find(function);
  if (known != functions_.end()) return known->second;
  const auto treatment =
      static_cast<Treatment>(nb::cast<int>(helper.attr("classify")(nb::handle(function))));
  Py_INCREF(function);  // the address cannot become another function's
  functions_.emplace(function, treatment);
  return treatment;
}

Phrase& Vocabulary::phrase(CallKey& key, const Call& call, nb::handle helper) {
  for (const Detail detail : {Detail::kPattern, Detail::kNumbers, Detail::kSizes}) {
    const auto known = phrases_.find(key.words(detail));
    if (known == phrases_.end()) return make(key, detail, call, helper);
    const Treatment treatment = known->second.treatment;
    if (treatment != Treatment::kNumbers && treatment != Treatment::kSizes) return known->second;
  }
  throw std::logic_error("[eager] a call has no key");
}

Phrase& Vocabulary::make(CallKey& key, Detail detail, const Call& call, nb::handle helper) {
  std::vector<std::uint64_t> words = key.words(detail);
  if (detail == Detail::kPattern && key.has_numbers()) {
    phrases_[std::move(words)].treatment = Treatment::kNumbers;
    return phrase(key, call, helper);
  }
  const auto ask = [&](bool numbers) {
    const nb::object kwargs = call.kwargs == nullptr ? nb::none() : nb::borrow(call.kwargs);
    return helper.attr("make")(nb::handle(call.function), nb::handle(call.args), kwargs,
                               call.dispatched, numbers, detail == Detail::kSizes);
  };
  if (detail == Detail::kNumbers) {
    Phrase& pattern = phrases_.at(key.words(Detail::kPattern));
    const int variants = pattern.treatment == Treatment::kNumbers ? ++pattern.variants : 0;
    if (variants == kFewNumbers) {
      const nb::object made = ask(true);
      if (!nb::isinstance<nb::int_>(made)) {
        fill(pattern, made);
        return pattern;
      }
    } else if (variants > kManyNumbers) {
      pattern.treatment = call.dispatched ? Treatment::kFlush : Treatment::kThrough;
      return pattern;
    }
  }
  const nb::object made = ask(false);
  Phrase& phrase = phrases_[std::move(words)];
  fill(phrase, made);
  return phrase.treatment == Treatment::kSizes ? this->phrase(key, call, helper) : phrase;
}

}  // namespace dvm::python
