//! Columns for people, aligned as Go's `text/tabwriter` does: a column is as wide as the widest of the
//! cells that stand directly above each other.

/// Cells of `text` end with a tab; what follows the last tab of a line is no cell. `padding`: spaces
/// between columns.
pub(super) fn aligned(text: &str, padding: usize) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|_| Vec::new()).collect();
    set_widths(&lines, 0, 0..lines.len(), padding, &mut widths);
    let mut result = String::new();
    for (index, (cells, widths)) in lines.iter().zip(&widths).enumerate() {
        if index > 0 {
            result.push('\n');
        }
        for (column, cell) in cells.iter().enumerate() {
            result.push_str(cell);
            if column + 1 < cells.len() {
                let width = widths.get(column).copied().unwrap_or_default();
                result.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
            }
        }
    }
    result
}

/// One column after the other; lines that lack the column end the ones above each other.
fn set_widths(
    lines: &[Vec<&str>],
    column: usize,
    range: std::ops::Range<usize>,
    padding: usize,
    widths: &mut [Vec<usize>],
) {
    let has_cell = |line: usize| lines.get(line).is_some_and(|cells| column + 1 < cells.len());
    let mut start = range.start;
    while start < range.end {
        if !has_cell(start) {
            start += 1;
            continue;
        }
        let end = (start..range.end).find(|line| !has_cell(*line)).unwrap_or(range.end);
        let widest = lines[start..end].iter().map(|cells| cells[column].chars().count()).max();
        for widths in &mut widths[start..end] {
            widths.push(widest.unwrap_or_default() + padding);
        }
        set_widths(lines, column + 1, start..end, padding, widths);
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_above_each_other_are_of_one_width() {
        assert_eq!(aligned("a\tb\nlong\té\t.\n\nx\ty\n", 1), "a    b\nlong é .\n\nx y\n");
        assert_eq!(aligned("A\tV\tD\nx\t\t\n", 3), "A   V   D\nx       \n");
    }
}
