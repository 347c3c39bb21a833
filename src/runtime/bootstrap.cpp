#include "runtime/bootstrap.hpp"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <map>

#include "archive/bounded.hpp"
#include "core/units.hpp"

namespace trireme {
namespace {

Error mpi_failure(const char* call) {
  return {std::string(call) + " failed at the start of the run", "", "", ExitCode::runtime_failed};
}

/// Which ranks share a host: by the first of them. Gives the first rank that is not fit.
Result<std::optional<Rank>> find_hosts(MPI_Comm comm, MPI_Comm local, bool fit, Place& place) {
  struct Self {
    std::int32_t first_on_host = 0;
    std::int32_t fit = 0;
    std::array<char, 256> host{};
  } self;
  self.first_on_host = place.rank;
  self.fit = fit ? 1 : 0;
  host_name().copy(self.host.data(), self.host.size() - 1);
  std::vector<Self> all(static_cast<std::size_t>(place.size));
  if (MPI_Bcast(&self.first_on_host, 1, MPI_INT32_T, 0, local) != MPI_SUCCESS ||
      MPI_Allgather(&self, sizeof self, MPI_BYTE, all.data(), sizeof self, MPI_BYTE, comm) != MPI_SUCCESS) {
    return mpi_failure("MPI_Allgather");
  }
  std::map<std::int32_t, std::uint32_t> hosts;
  for (const Self& one : all) {
    const auto [host, fresh] = hosts.emplace(one.first_on_host, hosts.size());
    if (fresh) place.host_names.emplace_back(one.host.data());
    place.host_of.push_back(host->second);
  }
  const auto unfit = std::find_if(all.begin(), all.end(), [](const Self& one) { return one.fit == 0; });
  return unfit == all.end() ? std::nullopt : std::optional(static_cast<Rank>(unfit - all.begin()));
}

std::string random_hex(std::size_t bytes) {
  std::string out;
  while (out.size() < 2 * bytes) {
    std::array<unsigned char, 16> random{};
    // Requests of up to 256 bytes are never cut short once the kernel's generator is seeded.
    if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) continue;
    for (unsigned char byte : random) {
      std::array<char, 3> digits{};
      std::snprintf(digits.data(), digits.size(), "%02x", byte);
      out += digits.data();
    }
  }
  out.resize(2 * bytes);
  return out;
}

/// What rank 0 says: a RunInfo or an Error.
struct Announcement {
  bool ok = false;
  RunInfo info;
  std::string what;
  std::string where;
  std::string hint;
  std::int32_t code = 0;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(ok, info, what, where, hint, code);
  }
};

std::string pack(const Result<RunInfo>& result) {
  if (result) return archive::write(Announcement{.ok = true, .info = *result});
  const Error& error = result.error();
  return archive::write(
      Announcement{.what = error.what, .where = error.where, .hint = error.hint, .code = to_int(error.code)});
}

Result<RunInfo> unpack(std::string_view bytes) {
  auto said = archive::read<Announcement>(bytes);
  if (!said) return said.error();
  if (said->ok) return said->info;
  return Error{said->what, said->where, said->hint, static_cast<ExitCode>(said->code)};
}

/// What `from` says, on every rank.
Result<RunInfo> share(MPI_Comm comm, Rank rank, Rank from, const std::function<Result<RunInfo>()>& make) {
  std::string packed;
  std::uint64_t length = 0;
  if (rank == from) {
    packed = pack(make());
    length = packed.size();
  }
  if (MPI_Bcast(&length, 1, MPI_UINT64_T, from, comm) != MPI_SUCCESS) return mpi_failure("MPI_Bcast");
  packed.resize(length);
  if (MPI_Bcast(packed.data(), static_cast<int>(length), MPI_BYTE, from, comm) != MPI_SUCCESS) {
    return mpi_failure("MPI_Bcast");
  }
  return unpack(packed);
}

}  // namespace

Result<Place> find_place(MPI_Comm comm, const Status& fit) {
  int rank = 0;
  int size = 0;
  int local_rank = 0;
  int local_size = 0;
  MPI_Comm local = MPI_COMM_NULL;
  if (MPI_Comm_rank(comm, &rank) != MPI_SUCCESS || MPI_Comm_size(comm, &size) != MPI_SUCCESS ||
      MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &local) != MPI_SUCCESS ||
      MPI_Comm_rank(local, &local_rank) != MPI_SUCCESS || MPI_Comm_size(local, &local_size) != MPI_SUCCESS) {
    return mpi_failure("MPI_Comm_split_type");
  }
  Place place{rank, size, static_cast<unsigned>(local_rank), static_cast<unsigned>(local_size), {}, {}};
  const auto unfit = find_hosts(comm, local, fit.ok(), place);
  MPI_Comm_free(&local);
  if (!unfit) return unfit.error();
  if (!*unfit) return place;
  return share(comm, rank, **unfit,
               [&]() -> Result<RunInfo> {
                 Error error = fit.error();
                 if (size > 1)
                   error.where = "rank " + std::to_string(rank) + (error.where.empty() ? "" : ", " + error.where);
                 return error;
               })
      .error();
}

Result<RunInfo> share_run_info(MPI_Comm comm, Rank rank, const std::function<Result<RunInfo>()>& make) {
  return share(comm, rank, pilot_rank, make);
}

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

std::string make_run_id() {
  return std::to_string(wall_now() / 1'000'000) + "-" + random_hex(6);
}

std::string make_token() {
  return random_hex(16);
}

}  // namespace trireme
