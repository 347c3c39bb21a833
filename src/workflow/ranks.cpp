#include "workflow/ranks.hpp"

#include <string>
#include <string_view>

namespace trireme::workflow {
namespace {

/// Names and their meaning are the same for `mpi: true` and `mpi: openmpi`.
void read_mpi(Fields& fields, const Reader& reader, MpiKind& out) {
  constexpr std::string_view expected = "true, false, openmpi, mpich or pmix";
  const auto value = fields.take("mpi");
  if (!value) return;
  const auto text = reader.text(*value, expected);
  if (!text) return;
  if (*text == "true") {
    out = MpiKind::automatic;
  } else if (*text == "false") {
    out = MpiKind::none;
  } else if (*text == "openmpi") {
    out = MpiKind::openmpi;
  } else if (*text == "mpich") {
    out = MpiKind::mpich;
  } else if (*text == "pmix") {
    out = MpiKind::pmix;
  } else {
    reader.error(*value, in_quotes(*text) + " is not known here", std::string(expected),
                 did_you_mean(*text, {"true", "false", "openmpi", "mpich", "pmix"}));
  }
}

/// One resource under either of its spellings.
template <typename Read>
void read_per_rank(Fields& fields, const Reader& reader, std::string_view full, std::string_view brief, Read read) {
  if (fields.has(full) && fields.has(brief)) {
    reader.error(*fields.take(brief), "it means the same as " + std::string(full), "one of the two");
    fields.take(full);
    return;
  }
  read(fields.has(brief) ? brief : full);
  fields.take(fields.has(brief) ? full : brief);
}

}  // namespace

void read_ranks(Fields& fields, const Reader& reader, RankFields out) {
  fields.integer("ranks", out.ranks, 1);
  read_mpi(fields, reader, out.mpi);
  read_per_rank(fields, reader, "cores_per_rank", "cores",
                [&](std::string_view key) { fields.integer(key, out.per_rank.cores, 0); });
  read_per_rank(fields, reader, "gpus_per_rank", "gpus",
                [&](std::string_view key) { fields.gpus(key, out.per_rank.gpus); });
  read_per_rank(fields, reader, "memory_per_rank", "memory",
                [&](std::string_view key) { fields.memory(key, out.per_rank.memory); });
  fields.integer("ranks_per_node", out.ranks_per_node, 1);
}

}  // namespace trireme::workflow
