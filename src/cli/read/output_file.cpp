#include "cli/read/output_file.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>

namespace trireme::cli {

void write_to(const std::string& file_name, Context& context, const std::function<void(std::ostream& out)>& write) {
  if (file_name.empty()) return write(context.out);
  errno = 0;
  std::ofstream file(file_name);
  if (file) write(file);
  file.close();
  if (file) return;
  context.fail({"cannot be written: " + std::string(std::strerror(errno)), file_name, "", ExitCode::runtime_failed});
}

}  // namespace trireme::cli
