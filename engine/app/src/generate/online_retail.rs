//! A file with the shape of UCI's Online Retail: the invoice lines of a gift shop, one year, in windows-1252 with CRLF.
//!
//! What the real file trips people up with is in it: invoices without a customer, lines without a description, repeated
//! lines, cancellations (C before the number, negative quantities), codes that are no products, prices of 0, and the pound
//! sign as one byte.

use std::io::{self, Write};
use std::path::Path;

use jiff::ToSpan;
use jiff::civil::{Date, date};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use tidemill_core::Result;

use super::draw::{Alias, below, chance, normal, unit};
use super::folder::Folder;

/// Rows between two reports of progress.
const REPORT_EVERY: u64 = 10_000;
const FIRST_DAY: Date = date(2010, 12, 1);
const DAYS: f64 = 374.0;
/// On the mean, about.
const LINES_PER_INVOICE: u64 = 20;

const COLOURS: [&str; 8] =
    ["WHITE", "PINK", "RED RETROSPOT", "BLUE POLKADOT", "VINTAGE", "IVORY", "JUMBO", "SET OF 6"];
const THINGS: [&str; 12] = [
    "HANGING HEART T-LIGHT HOLDER",
    "LUNCH BAG",
    "METAL LANTERN",
    "CAKE CASES",
    "TEA TOWEL",
    "BIRD ORNAMENT",
    "ALARM CLOCK",
    "DOORMAT",
    "BUNTING ",
    "CHRISTMAS TREE",
    "STORAGE BAG",
    "MUG",
];
/// Codes that are no products, with what stands in their description.
const NO_PRODUCTS: [(&str, &str); 6] = [
    ("POST", "POSTAGE"),
    ("D", "Discount"),
    ("M", "Manual"),
    ("C2", "CARRIAGE"),
    ("DOT", "DOTCOM POSTAGE"),
    ("BANK CHARGES", "Bank Charges"),
];
const COUNTRIES: [(&str, f64); 8] = [
    ("United Kingdom", 910.0),
    ("Germany", 18.0),
    ("France", 16.0),
    ("EIRE", 15.0),
    ("Spain", 5.0),
    ("Netherlands", 4.0),
    ("Unspecified", 1.0),
    ("European Community", 0.5),
];

struct Product {
    code: String,
    description: String,
    price_pence: u64,
}

/// Writes `rows` invoice lines as `data.csv` into a folder.
///
/// The bytes are the same for the same `rows` and `seed`. `on_progress` is told the rows written so far.
///
/// # Errors
/// User: the folder cannot be made; Storage: the file cannot be written.
pub(crate) fn write_online_retail(
    rows: u64,
    seed: u64,
    out: &Path,
    on_progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let mut folder = Folder::create(out)?;
    let header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\r\n";
    let mut file = folder.file("data.csv", header)?;
    let mut shop = Shop::new(rows, seed);
    let written = (|| {
        let mut done = 0;
        while done < rows {
            let before = done;
            for line in shop.invoice(done as f64 / rows as f64, rows - done) {
                // Latin letters and the pound sign are the same number in Unicode and in windows-1252, as one byte.
                let bytes: Vec<u8> =
                    line.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect();
                file.write_all(&bytes)?;
                done += 1;
            }
            if before / REPORT_EVERY != done / REPORT_EVERY {
                on_progress(done);
            }
        }
        file.flush()
    })();
    written.map_err(|e: io::Error| folder.error(&e))?;
    folder.publish()?;
    on_progress(rows);
    Ok(())
}

struct Shop {
    rng: Xoshiro256PlusPlus,
    products: Vec<Product>,
    customers: u32,
    countries: Alias,
    invoice: u64,
}

impl Shop {
    fn new(rows: u64, seed: u64) -> Shop {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let products = (0..(rows / 130).clamp(60, 4_000)).map(|number| product(&mut rng, number)).collect();
        Shop {
            products,
            // A customer has a hundred lines or so.
            customers: u32::try_from((rows / 124).clamp(20, 4_400)).unwrap_or(4_400),
            countries: Alias::new(&COUNTRIES.map(|country| country.1)),
            invoice: 536_365,
            rng,
        }
    }

    /// The lines of the next invoice, at most `most`. `part` is how much of the year is over.
    fn invoice(&mut self, part: f64, most: u64) -> Vec<String> {
        let rng = &mut self.rng;
        let day = FIRST_DAY.saturating_add(((part * DAYS) as i64).days());
        let time = format!(
            "{}/{}/{} {}:{:02}",
            day.month(),
            day.day(),
            day.year(),
            8 + below(rng, 10),
            below(rng, 60)
        );
        self.invoice += 1 + u64::from(below(rng, 3));
        let cancelled = chance(rng, 0.15);
        let number = if cancelled { format!("C{}", self.invoice) } else { self.invoice.to_string() };
        // A customer keeps to one country, and some come far more often than others.
        let customer = (unit(rng).powi(2) * f64::from(self.customers)) as u32;
        let mut home = Xoshiro256PlusPlus::seed_from_u64(u64::from(customer));
        let country = COUNTRIES[self.countries.pick(&mut home)].0;
        let known = chance(rng, 0.85);
        let customer = if known { (12_346 + customer).to_string() } else { String::new() };
        let count = if cancelled { 1 + below(rng, 3) } else { 1 + below(rng, 2 * LINES_PER_INVOICE as u32) };
        let mut lines: Vec<String> = Vec::new();
        for _ in 0..u64::from(count).min(most) {
            if let Some(last) = lines.last()
                && chance(rng, 0.012)
            {
                lines.push(last.clone());
                continue;
            }
            let product = &self.products[(unit(rng).powi(2) * self.products.len() as f64) as usize];
            let quantity = 1 + (4.0 * (normal(rng) * 1.1).exp()) as i64;
            let quantity = if cancelled { -quantity } else { quantity };
            let (mut code, mut description) = (product.code.as_str(), product.description.as_str());
            let mut pence = product.price_pence;
            if chance(rng, 0.006) {
                (code, description) = NO_PRODUCTS[below(rng, NO_PRODUCTS.len() as u32) as usize];
            }
            if chance(rng, 0.002) {
                description = ["Next Day Carriage", "High Resolution Image"][below(rng, 2) as usize];
            }
            if chance(rng, 0.001) {
                pence = 0;
            }
            if !known && chance(rng, 0.01) {
                (description, pence) = ("", 0);
            }
            lines.push(format!(
                "{number},{code},{description},{quantity},{time},{}.{:02},{customer},{country}\r\n",
                pence / 100,
                pence % 100
            ));
        }
        lines
    }
}

fn product(rng: &mut Xoshiro256PlusPlus, number: u64) -> Product {
    let letter = ["", "", "", "A", "B", "L"][below(rng, 6) as usize];
    let colour = COLOURS[below(rng, COLOURS.len() as u32) as usize];
    let thing = THINGS[below(rng, THINGS.len() as u32) as usize];
    let price_pence = 20 + (220.0 * (normal(rng) * 0.8).exp()) as u64;
    let description = match number {
        3 => "Dotcomgiftshop Gift Voucher £20.00".to_owned(),
        4 => format!("\"{colour} {thing}, ASSORTED\""),
        _ => format!("{colour} {thing}"),
    };
    Product { code: format!("{}{letter}", 20_600 + number * 7), description, price_pence }
}

#[cfg(test)]
mod tests;
