// The report as one HTML file: no other file, no network; it opens from a disk, from an archive, from a mail.
//
// Scripts, styles and data stand in the file itself. Browsers load no modules from file://, so the page's modules are joined into one
// script, in the order in which they are embedded: lines that begin with `import ` go, `export ` before a declaration too. They share
// one scope, so no two of them declare the same name. Data is JSON in which nothing can end its element, and the page shows texts as
// texts. A content security policy keeps the page from loading anything, should that ever fail.
#pragma once

#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

namespace trireme::observe::report {

struct PageFile {
  std::string_view name;
  std::string_view type;
  std::string_view content;
};

/// What the page is made of (page_files.cpp.in, filled in by CMake).
std::span<const PageFile> page_files();

/// JSON as it may stand in a script element: in ASCII, and without a `<`.
std::string json_for_script(const nlohmann::ordered_json& json);

/// `data` is what report_json() makes.
void write_page(const nlohmann::ordered_json& data, std::ostream& out);

}  // namespace trireme::observe::report
