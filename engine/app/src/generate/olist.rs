//! Nine files with the shape of Olist's: orders with their items, payments and reviews, and what they point to.
//!
//! One stream of random numbers makes the products and sellers, then order after order, then the places. What the real
//! files trip people up with is in it: zip prefixes with leading zeros, comments with quotes and line breaks, orders
//! without items, payments or reviews, steps without a time, products without a category, a size or a translation,
//! repeated rows of places.

mod market;

use std::io::{self, Write};
use std::path::Path;

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use tidemill_core::Result;

use super::draw::{below, chance, normal, unit};
use super::folder::{Folder, Out};
use market::{CITIES, Market, id, time};

/// Rows between two reports of progress.
const REPORT_EVERY: u64 = 1_000;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// Orders are placed in these days after 4 September 2016, the more the later.
const DAYS_OF_TRADE: f64 = 730.0;

/// What customers write, with what a reader of CSV has to cope with.
const COMMENTS: [&str; 6] = [
    "Recebi bem antes do prazo estipulado.",
    "\"Produto bom, mas a caixa veio amassada\"",
    "\"Disse que era \"\"original\"\", e não é\"",
    "\"Muito bom!\r\nRecomendo a loja.\r\n\r\nVolto a comprar\"",
    "Parabéns lojas lannister adorei comprar pela Internet seguro e prático 👏",
    "Não recebi o produto",
];

/// The files that grow with the orders.
struct Files {
    orders: Out,
    customers: Out,
    items: Out,
    payments: Out,
    reviews: Out,
}

/// Writes `orders` orders and what belongs to them into a folder, under the names of the published files.
///
/// The bytes are the same for the same `orders` and `seed`. `on_progress` is told the orders written so far.
///
/// # Errors
/// User: the folder cannot be made; Storage: a file cannot be written.
pub(crate) fn write_olist(
    orders: u64,
    seed: u64,
    out: &Path,
    on_progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let mut folder = Folder::create(out)?;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let market = Market::new(&mut rng, orders);
    let mut file = |name: &str, header: &[&str], end: &str| {
        let header: Vec<String> = header.iter().map(|column| format!("\"{column}\"")).collect();
        folder.file(&format!("olist_{name}_dataset.csv"), &(header.join(",") + end))
    };
    let products = file("products", &market::PRODUCT_COLUMNS, "\n")?;
    let sellers =
        file("sellers", &["seller_id", "seller_zip_code_prefix", "seller_city", "seller_state"], "\n")?;
    let geolocation = file("geolocation", &market::GEOLOCATION_COLUMNS, "\n")?;
    #[rustfmt::skip]
    let mut files = Files {
        orders: file("orders", &["order_id", "customer_id", "order_status", "order_purchase_timestamp", "order_approved_at",
            "order_delivered_carrier_date", "order_delivered_customer_date", "order_estimated_delivery_date"], "\n")?,
        customers: file("customers", &["customer_id", "customer_unique_id", "customer_zip_code_prefix", "customer_city",
            "customer_state"], "\n")?,
        items: file("order_items", &["order_id", "order_item_id", "product_id", "seller_id", "shipping_limit_date", "price",
            "freight_value"], "\n")?,
        payments: file("order_payments", &["order_id", "payment_sequential", "payment_type", "payment_installments",
            "payment_value"], "\n")?,
        reviews: file("order_reviews", &["review_id", "order_id", "review_score", "review_comment_title",
            "review_comment_message", "review_creation_date", "review_answer_timestamp"], "\r\n")?,
    };
    let translation = folder.file(
        "product_category_name_translation.csv",
        "\u{feff}product_category_name,product_category_name_english\r\n",
    )?;
    let written = (|| {
        market.write(products, sellers, geolocation, translation, &mut rng)?;
        let mut people: Vec<String> = Vec::new();
        for number in 0..orders {
            files.order(&mut rng, &market, &mut people, number)?;
            if number % REPORT_EVERY == 0 {
                on_progress(number);
            }
        }
        for mut out in [files.orders, files.customers, files.items, files.payments, files.reviews] {
            out.flush()?;
        }
        Ok(())
    })();
    written.map_err(|e: io::Error| folder.error(&e))?;
    folder.publish()?;
    on_progress(orders);
    Ok(())
}

impl Files {
    /// Draws one order with all that belongs to it.
    fn order(
        &mut self,
        rng: &mut Xoshiro256PlusPlus,
        market: &Market,
        people: &mut Vec<String>,
        number: u64,
    ) -> io::Result<()> {
        let (order_id, customer_id) = (id(rng), id(rng));
        // Three in a hundred come back.
        let back = !people.is_empty() && chance(rng, 0.03);
        let known = below(rng, u32::try_from(people.len()).unwrap_or(u32::MAX).max(1)) as usize;
        let fresh = id(rng);
        let person = if back { people[known].clone() } else { fresh };
        if !back && people.len() < 10_000 {
            people.push(person.clone());
        }
        let city = &CITIES[market.buyers.pick(rng)];
        let zip = city.zip(rng);
        writeln!(self.customers, "\"{customer_id}\",\"{person}\",\"{zip:05}\",{},{}", city.name, city.state)?;

        let bought =
            (unit(rng).sqrt() * DAYS_OF_TRADE * DAY as f64) as i64 + i64::from(below(rng, DAY as u32));
        let approved = bought + (1_200.0 * (normal(rng) * 1.2).exp()) as i64;
        let carrier = approved + (1.8 * DAY as f64 * (normal(rng) * 0.7).exp()) as i64;
        let delivered = carrier + (7.1 * DAY as f64 * (normal(rng) * 0.6).exp()) as i64;
        let estimated = (bought / DAY + 15 + i64::from(below(rng, 20))) * DAY;
        // How far the order came: steps that have a time.
        let (status, steps) = match below(rng, 1_000) {
            0..970 => ("delivered", 3),
            970..981 => ("shipped", 2),
            981..987 => ("canceled", 1),
            987..993 => ("unavailable", 1),
            993..996 => ("invoiced", 1),
            996..999 => ("processing", 1),
            _ => ("created", 0),
        };
        let step = |number: i32, at: i64| if number <= steps { time(at) } else { String::new() };
        writeln!(
            self.orders,
            "{order_id},\"{customer_id}\",{status},{},{},{},{},{}",
            time(bought),
            step(1, approved),
            step(2, carrier),
            step(3, delivered),
            time(estimated)
        )?;
        let cents = match status {
            "unavailable" => 4_200,
            _ => self.items(rng, market, &order_id, approved)?,
        };
        // One order of the real ones has no payment; here it is the first.
        if number > 0 {
            self.payments(rng, &order_id, cents)?;
        }
        if chance(rng, 0.992) {
            self.review(rng, &order_id, if steps == 3 { delivered } else { estimated })?;
        }
        Ok(())
    }

    /// The items of an order. Gives what they cost with their freight, in hundredths of a real.
    fn items(
        &mut self,
        rng: &mut Xoshiro256PlusPlus,
        market: &Market,
        order_id: &str,
        approved: i64,
    ) -> io::Result<u64> {
        let mut total = 0;
        let count = if chance(rng, 0.9) { 1 } else { 2 + below(rng, 3) };
        let product = market.product(rng);
        let seller = market.seller(rng);
        for item in 1..=count {
            // Two items of an order mostly are twice the same.
            let product = if item > 1 && chance(rng, 0.3) { market.product(rng) } else { product };
            let (price, freight) = (product.price_cents, 700 + u64::from(below(rng, 2_500)));
            writeln!(
                self.items,
                "\"{order_id}\",{item},{},{seller},{},{}.{:02},{}.{:02}",
                product.id,
                time(approved + 6 * DAY),
                price / 100,
                price % 100,
                freight / 100,
                freight % 100
            )?;
            total += price + freight;
        }
        Ok(total)
    }

    /// The payments of an order, which add up to `cents`.
    fn payments(&mut self, rng: &mut Xoshiro256PlusPlus, order_id: &str, cents: u64) -> io::Result<()> {
        let vouchers = if chance(rng, 0.03) { 1 + u64::from(below(rng, 3)) } else { 0 };
        let voucher = cents / 10;
        for number in 1..=vouchers {
            writeln!(self.payments, "{order_id},{number},voucher,1,{}.{:02}", voucher / 100, voucher % 100)?;
        }
        let rest = cents - vouchers * voucher;
        let (kind, installments) = match below(rng, 100) {
            0..77 => ("credit_card", 1 + below(rng, 10)),
            77..97 => ("boleto", 1),
            _ => ("debit_card", 1),
        };
        writeln!(
            self.payments,
            "{order_id},{},{kind},{installments},{}.{:02}",
            vouchers + 1,
            rest / 100,
            rest % 100
        )
    }

    /// One review of an order, seldom two.
    fn review(&mut self, rng: &mut Xoshiro256PlusPlus, order_id: &str, delivered: i64) -> io::Result<()> {
        for _ in 0..if chance(rng, 0.006) { 2 } else { 1 } {
            let score = [5, 5, 5, 5, 5, 5, 4, 4, 3, 1, 1, 2][below(rng, 12) as usize];
            let title = if chance(rng, 0.12) { "recomendo" } else { "" };
            let words = below(rng, COMMENTS.len() as u32) as usize;
            let message = if chance(rng, 0.4) { COMMENTS[words] } else { "" };
            let created = (delivered / DAY + 1) * DAY;
            let answered = created + (2.6 * DAY as f64 * unit(rng)) as i64 + HOUR;
            write!(
                self.reviews,
                "\"{}\",\"{order_id}\",{score},{title},{message},{},{}\r\n",
                id(rng),
                time(created),
                time(answered)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
