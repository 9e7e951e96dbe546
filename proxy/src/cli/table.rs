//! Columns for people: left-aligned, two spaces apart, no space at a line's end.

/// Lines under `header`. An empty cell shows as `-`.
pub(super) fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let header = header.map(str::to_owned);
    let rows: Vec<[String; N]> = std::iter::once(header).chain(rows).collect();
    let wide = |text: &String| text.chars().count().max(1);
    let widths: [usize; N] = std::array::from_fn(|column| rows.iter().map(|row| wide(&row[column])).max().unwrap_or(0));
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let cell = if cell.is_empty() { "-" } else { cell };
            line.push_str(&format!("{cell:width$}  "));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_line_up_and_lines_end_clean() {
        let rows = [["a".to_owned(), String::new()], ["äöü".to_owned(), "x".to_owned()]];
        assert_eq!(table(["N", "LAST"], rows), "N    LAST\na    -\näöü  x\n");
    }
}
